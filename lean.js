// A site begins anew in its own process, before it has loaded anything, with a young generation of at most 2 × 2 MB (decision 0026):
// V8 takes that at its start only. Its own goes to 2 × 32 MB while modules are loaded, and what passes through lies in it dead.
const young = "--max-semi-space-size=2";

if (process.execve && !process.execArgv.includes(young)) {
  const { execPath, execArgv, argv, env } = process;
  process.execve(execPath, [execPath, young, ...execArgv, ...argv.slice(1)], env);
}

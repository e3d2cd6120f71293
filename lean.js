// A site begins anew in its own process, before it has loaded anything, with what V8 and malloc take at a start only: a young generation
// of at most 2 × 2 MB (decision 0026; V8's own goes to 2 × 32 MB while modules are loaded, and what passes through lies in it dead),
// and one arena of malloc for all threads (decision 0034; glibc's name for it, which others do not know).
const young = "--max-semi-space-size=2";

if (process.execve && !process.execArgv.includes(young)) {
  const { execPath, execArgv, argv, env } = process;
  process.execve(execPath, [execPath, young, ...execArgv, ...argv.slice(1)], { MALLOC_ARENA_MAX: "1", ...env });
}

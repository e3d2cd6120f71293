/** For `node --import`: this process takes itself for Node 20, whose node:module lacks what is newer. What it starts does not. */
import { registerHooks } from "node:module";

Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.0.0" } });
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "node:module"
      ? { url: "data:text/javascript,export default undefined", shortCircuit: true }
      : next(specifier, context),
});

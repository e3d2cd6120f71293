/**
 * The registry's own time: a number that every registration and change of this store counts on. The one writer counts, so
 * whoever reads a moment has everything up to it committed, and nothing later is ever numbered below it.
 */
import { change } from "./sqlite.ts";

/** The next moment; before the statements that are of it. */
export const tick = change("UPDATE clock SET n = n + 1");

/** The moment that `tick` made, inside a statement. */
export const momentSql = "(SELECT n FROM clock)";

/** The line that stands at the top of every page that is made. */
export const generated = "<!-- Made by `node commands/reference/index.ts`; a test keeps it current. -->";

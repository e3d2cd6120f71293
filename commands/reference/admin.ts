/** The page about the admin port, from the table that serves it. */
import { routes } from "../../pipeline/admin-routes.ts";
import { generated } from "./generated.ts";

/** docs/reference/admin.md */
export const adminPage = (): string =>
  [
    "# The admin port",
    "",
    generated,
    "",
    "HTTP on loopback (`admin.listen`). `Authorization: Bearer` with the token in `admin.token` of the data folder, but for what is open. JSON, unless said;",
    "a refusal is `{ code, reason }`. `/openapi.json` describes it for programs (OpenAPI 3.1). Nothing in an answer is of a patient, but for `reveal`.",
    "",
    "| | | what | answers |",
    "|---|---|---|---|",
    ...routes.map(({ method, path, summary, status, isOpen, produces }) => {
      const answer = produces === "application/json" ? `${status}` : `${status} \`${produces}\``;
      return `| ${method.toUpperCase()} | \`${path}\`${isOpen ? " (open)" : ""} | ${summary} | ${answer} |`;
    }),
    "",
    "`/events` are the lines of the log as server-sent events: `id`, `event` (such as `route.registered`) and `data` (the line as JSON), those of at least",
    "`level` (info). The last thousand are remembered for `Last-Event-ID`; a client that does not read is cut and comes back with it.",
    "",
  ].join("\n");

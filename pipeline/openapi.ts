/** The admin port as OpenAPI 3.1, made from the routes and their schemas. */
import { z } from "zod";
import type { Route } from "./admin-route.ts";

/** What a fault is told as. */
const problem = {
  type: "object",
  properties: { code: { type: "string" }, reason: { type: "string" } },
  required: ["code", "reason"],
} as const;

const parameterName = /\{(\w+)\}/g;

/** `site` is its title. */
export function describeRoutes(routes: readonly Route[], site: string) {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operation(route) };
  return {
    openapi: "3.1.0",
    info: {
      title: `SEMRS admin port of ${site}`,
      version: "1",
      description: "Loopback only. The token is in admin.token of the data folder.",
    },
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      schemas: { Problem: problem },
    },
  };
}

function operation({ method, path, summary, isOpen, status, query, body, produces }: Route) {
  const inPath = [...path.matchAll(parameterName)].map(([, name = ""]) => {
    return { name, in: "path", required: true, schema: { type: "string" } };
  });
  const refused = { $ref: "#/components/schemas/Problem" };
  return {
    operationId: `${method}${path.replaceAll(/[^a-zA-Z]+(\w?)/g, (_all, next: string) => next.toUpperCase())}`,
    summary,
    ...(isOpen ? { security: [] } : { security: [{ token: [] }] }),
    parameters: [...inPath, ...(query ? inQuery(query) : [])],
    ...(body ? { requestBody: { required: true, content: { "application/json": { schema: schemaOf(body) } } } } : {}),
    responses: {
      [status]: { description: "Done.", content: { [produces]: {} } },
      default: { description: "Why not.", content: { "application/json": { schema: refused } } },
    },
  };
}

/** As a request writes it: what has a default may be left out. */
const schemaOf = (schema: z.ZodType) => z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });

function inQuery(query: z.ZodType) {
  const { properties = {}, required = [] } = schemaOf(query);
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: "query",
    required: required.includes(name),
    schema,
  }));
}

/** The admin port: described as OpenAPI from its own schemas, closed without its token, and its events as they happen. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { routes } from "../pipeline/admin-routes.ts";
import { sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
let url: string;
let token: string;
beforeAll(async () => {
  at = await openExchange(await testPki());
  url = `http://127.0.0.1:${at.env.A_ADMIN}`;
  token = readFileSync(join(at.folder, "data", "hospital-a", "admin.token"), "utf8").trim();
});
afterAll(() => at.close());

type Operation = {
  readonly operationId: string;
  readonly security: readonly object[];
  readonly parameters: readonly { name: string; in: string; required: boolean; schema: object }[];
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: object } } };
};
const described = async () =>
  await at
    .admin("hospital-a")
    .get<{ openapi: string; paths: Record<string, Record<string, Operation>> }>("/openapi.json");

test("who is on this machine cannot take all descriptors by the admin port: 64 connections of it, and one line says so", async () => {
  let closed = 0;
  const sockets = Array.from({ length: 200 }, () =>
    connect(Number(at.env.A_ADMIN), "127.0.0.1")
      .on("error", () => undefined)
      .on("close", () => (closed += 1)),
  );
  await until("those too many are closed", () => closed >= 136);
  const told = at.log.filter(({ event }) => event === "admin.crowded");
  expect(told).toMatchObject([{ site: "hospital-a", level: "warn", fields: { code: "PEER_BUSY" } }]);
  for (const socket of sockets) socket.destroy();
  await until("it answers again", () =>
    fetch(`${url}/health/live`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
});

describe("OpenAPI", () => {
  test("every route is in it, with its parameters, and no two operations have one name", async () => {
    const { openapi, paths } = await described();
    expect(openapi).toBe("3.1.0");
    const told = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(told.sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort());
    const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(routes.length);
    for (const [path, methods] of Object.entries(paths))
      for (const { parameters } of Object.values(methods))
        expect(parameters.filter((each) => each.in === "path").map(({ name }) => `{${name}}`)).toEqual(
          path.match(/\{\w+\}/g) ?? [],
        );
  });

  test("schemas are those that read the request", async () => {
    const { paths } = await described();
    expect(paths["/journal/{id}/release"]?.post?.requestBody?.content["application/json"].schema).toMatchObject({
      type: "object",
      properties: {
        reason: { type: "string", minLength: 1, maxLength: 512 },
        replace: { type: "boolean", default: false },
      },
      required: ["reason"],
      additionalProperties: false,
    });
    expect(paths["/journal"]?.get?.parameters).toContainEqual(
      expect.objectContaining({ name: "limit", in: "query", required: false }),
    );
  });

  test("the program serves nothing beside it: there is no other place where a route is made", () => {
    const source = readFileSync(join(import.meta.dirname, "..", "pipeline", "admin.ts"), "utf8");
    expect([...source.matchAll(/app(\.(get|post|put|delete|all)\(|\[)/g)].map(([all]) => all)).toEqual(["app["]);
  });

  test("what is described answers: open ones without a token, all others with 401", async () => {
    const { paths } = await described();
    for (const [path, methods] of Object.entries(paths))
      for (const [method, { security }] of Object.entries(methods)) {
        const { status } = await fetch(`${url}${path.replaceAll(/\{\w+\}/g, "x")}`, { method: method.toUpperCase() });
        expect(status, `${method} ${path}`).toBe(security.length === 0 ? 200 : 401);
      }
    expect(Object.keys(paths).filter((path) => paths[path]?.get?.security.length === 0)).toEqual([
      "/metrics",
      "/health/live",
      "/health/ready",
    ]);
  });
});

test.each<[string, number, string, RequestInit?]>([
  ["/nowhere", 404, "QUERY_INVALID"],
  ["/status", 404, "QUERY_INVALID", { method: "DELETE" }],
  ["/trace/%zz", 400, "QUERY_INVALID"],
  ["/reload", 400, "QUERY_INVALID", { method: "POST", body: "{A123456789" }],
  ["/reload", 413, "TOO_LARGE", { method: "POST", body: JSON.stringify("x".repeat(65_536)) }],
])("%s is told in JSON as the asker's, with %i %s, and quotes nothing", async (path, status, code, init = {}) => {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const response = await fetch(`${url}${path}`, { ...init, headers });
  const body = (await response.json()) as { reason: string };
  expect({ status: response.status, body }).toEqual({ status, body: { code, reason: expect.any(String) } });
  expect(body.reason).not.toMatch(/A123456789|UNEXPECTED/);
});

test("every metric is in the page about operation, and no other", async () => {
  const served = (await (await fetch(`${url}/metrics`)).text()).matchAll(/^# HELP (semrs_\w+)/gm);
  const page = readFileSync(join(import.meta.dirname, "..", "docs", "operations.md"), "utf8");
  const rows = page.match(/^\| `semrs_.*$/gm)?.flatMap((row) => row.match(/`semrs_\w+/g) ?? []) ?? [];
  expect(rows.map((name) => name.slice(1)).sort()).toEqual([...served].map(([, name]) => name).sort());
});

test("the rules for Prometheus in that page name metrics that there are", async () => {
  const page = readFileSync(join(import.meta.dirname, "..", "docs", "operations.md"), "utf8");
  const [, yaml = ""] = /```yaml\n(groups:[\s\S]*?)```/.exec(page) ?? [];
  const { groups } = parse(yaml) as { groups: { rules: { alert: string; expr: string; for?: string }[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.length).toBeGreaterThan(0);
  const served = await (await fetch(`${url}/metrics`)).text();
  for (const { alert, expr } of rules.filter((rule) => rule.alert !== "SemrsDown")) {
    const named = [...expr.matchAll(/semrs_\w+/g)];
    expect(named.length, alert).toBeGreaterThan(0);
    for (const [name] of named) expect(served, alert).toContain(`# HELP ${name} `);
  }
});

test("what waits for a partner or system is a figure of its own, and 0 where nothing does", async () => {
  const queued = async () =>
    Object.fromEntries(
      [
        ...(await (await fetch(`${url}/metrics`)).text()).matchAll(
          /^semrs_queue_(\w+)\{destination="([^"]+)".*\} (\S+)$/gm,
        ),
      ].map(([, what, destination, value]) => [`${what} ${destination}`, Number(value)] as const),
    );
  const stop = (verb: string) => at.admin("hospital-a").post(`/stops/registry/${verb}`, { reason: "a test" });
  await stop("pause");
  await at.message(sampleMessage("mdm-t02-114"));
  await until("one waits", async () => (await queued())["deliveries registry"] === 1);
  const waiting = await queued();
  expect(waiting).toMatchObject({ "deliveries hospital-b": 0, "oldest_seconds hospital-b": 0 });
  expect(waiting["oldest_seconds registry"]).toBeGreaterThan(0);
  // What only sends to us has no queue.
  expect(Object.keys(waiting).sort()).toEqual(
    ["deliveries", "oldest_seconds"].flatMap((what) => [`${what} hospital-b`, `${what} registry`]),
  );
  await stop("resume");
  await until("none waits", async () => (await queued())["deliveries registry"] === 0);
});

test("a body that does not say it is JSON: what to send", async () => {
  const authorization = `Bearer ${token}`;
  const response = await fetch(`${url}/fetch`, { method: "POST", headers: { authorization }, body: "{}" });
  expect({ status: response.status, body: await response.json() }).toEqual({
    status: 400,
    body: { code: "QUERY_INVALID", reason: expect.stringContaining("Content-Type: application/json") },
  });
});

describe("events", () => {
  /** Reads the stream until it has what is wanted; all of it, as text. */
  async function listen(
    query: string,
    headers: Readonly<Record<string, string>>,
    until: RegExp,
    act = async () => undefined as unknown,
  ) {
    const stop = new AbortController();
    const response = await fetch(`${url}/events${query}`, {
      headers: { authorization: `Bearer ${token}`, ...headers },
      signal: stop.signal,
    });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    await act();
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      if (until.test(text)) break;
    }
    stop.abort();
    return text;
  }

  test("what happens is told as it happens, with nothing of the patient", async () => {
    const text = await listen("", {}, /event: route\.registered\n.*\n\n/, () =>
      at.message(sampleMessage("mdm-t02-121")),
    );
    const names = [...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
    expect(names.filter((name) => name !== undefined && /^(source|validate|seal|route)\./.test(name))).toEqual([
      "source.accepted",
      "validate.validated",
      "seal.sealed",
      "route.provided",
      "route.registered",
    ]);
    expect(text).toMatch(
      /^id: \d+\nevent: source\.accepted\ndata: \{"time":"[^"]+","level":"info","event":"source\.accepted","controlId":"S121"/m,
    );
    expect(text).not.toMatch(/林|A145678902/);
  });

  test("Last-Event-ID gives what was missed, level only what is as bad", async () => {
    const missed = await listen("", { "last-event-id": "0" }, /event: route\.registered\n.*\n\n/);
    expect(missed).toMatch(/^id: 1\n/);
    const pause = (verb: string) => at.admin("hospital-a").post(`/stops/pacs/${verb}`, { reason: "a test" });
    const warned = await listen("?level=warn", {}, /event: admin\.running\n.*\n\n/, async () => {
      await pause("pause");
      await pause("resume");
    });
    expect([...warned.matchAll(/^event: (.*)$/gm)].map(([, name]) => name)).toEqual(["admin.paused", "admin.running"]);
  });
});

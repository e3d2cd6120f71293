/** What a verb says where no site, or something else, answers on the admin port. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeHome } from "../faults/house.ts";
import { root, semrs } from "./cli.ts";

const data = mkdtempSync(join(tmpdir(), "semrs-admin-token-"));
writeFileSync(join(data, "admin.token"), "a token\n");

const live = '{"live":true}';
/** A site that ends in its answer, once it has said that it lives. */
const cut: RequestListener = ({ url }, response) => {
  if (url === "/health/live") return void response.end(live);
  response.writeHead(200, { "content-length": "100" });
  response.write("{", () => response.destroy());
};
const others: Readonly<Record<string, RequestListener>> = {
  html: (_request, response) => void response.end("<html>welcome</html>"),
  "nothing there": (_request, response) => void response.writeHead(404).end("{}"),
  "another place": (_request, response) => void response.writeHead(307, { location: "/elsewhere" }).end(),
  "other JSON": (_request, response) => void response.end('{"status":"UP"}'),
  "no value": (_request, response) => void response.end("null"),
  "without end": (_request, response) => {
    const more = (): void => {
      while (response.write("x".repeat(1000)));
    };
    response.on("drain", more);
    more();
  },
};
const asking: readonly (readonly string[])[] = [
  ["status"],
  ["reload"],
  ["pause", "his", "--reason", "x"],
  ["journal", "list"],
  ["journal", "trace", "A1234567"],
  ["emergency", "list"],
  ["consent", "show", "--patient", "2.16.886^A123456789"],
  ["fetch", "--patient", "2.16.886^A123456789"],
  ["erase", "--patient", "2.16.886^A123456789", "--reason", "x"],
  ["evidence", "export", "A1234567"],
];

test.each([
  ...Object.keys(others).flatMap((name) =>
    asking.map((args) => [name, others[name] as RequestListener, args] as const),
  ),
  ...[["status"], ["journal", "list"], ["journal", "show", "A1", "--reveal", "--reason", "x"], asking.at(-2) ?? []].map(
    (args) => ["a site that ends", cut, args] as const,
  ),
])("%s on the admin port is told as that: %#", async (_what, answer, args) => {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization);
    answer(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { exit, err } = await semrs([...args, "--admin", url, "--data", data]);
  server.closeAllConnections();
  server.close();
  expect({ exit, err }).toEqual({
    exit: 69,
    err: expect.stringMatching(new RegExp(`^semrs [a-z ]+: ${url} gave no whole answer of a site; is it .*\\n$`)),
  });
  // The token is for a site alone.
  if (answer !== cut) expect(asked).toEqual([undefined]);
});

test.each<[string, (file: string) => void, RegExp]>([
  ["of a house that never ran", () => undefined, /admin\.token is not there; the site makes it at its first start$/],
  [
    "that cannot be read",
    (file) => mkdirSync(file),
    /admin\.token cannot be read; ask as the user that the site runs as$/,
  ],
])("a token %s", async (_what, make, told) => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-no-token-"));
  make(join(folder, "admin.token"));
  const { exit, err } = await semrs(["status", "--admin", "http://127.0.0.1:9", "--data", folder]);
  expect(exit).toBe(69);
  expect(err.trim()).toMatch(told);
});

test("check says of another program on the admin port that the port is taken", async () => {
  const { folder, env } = await makeHome();
  const server = createServer(others["other JSON"]).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const free = { HIS: "0", PACS: "0", REST: "0", ADMIN: String(port) };
  const { out } = await semrs(["check", "--json"], { cwd: folder, env: { ...env, ...free } });
  server.closeAllConnections();
  server.close();
  const taken = JSON.parse(out).findings.filter(({ code }: { code: string }) => code === "PORT_TAKEN");
  expect(taken).toMatchObject([
    { file: `admin 127.0.0.1:${port}`, message: "another process listens there; end it, or take another port" },
  ]);
});

test("a payload is taken no further than it is read", async () => {
  const server = createServer((request, response) =>
    request.url === "/health/live" ? void response.end(live) : others["without end"]?.(request, response),
  ).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const shown = ["journal", "show", "A1", "--reveal", "--reason", "x", "--admin", url, "--data", data];
  const child = spawn(process.execPath, [join(root, "semrs.js"), ...shown], { stdio: ["ignore", "pipe", "inherit"] });
  child.stdout.once("data", () => child.stdout.destroy());
  await once(child, "exit");
  server.closeAllConnections();
  server.close();
  expect(child.exitCode).toBe(1);
});

/** What a verb says where no site, or something else, answers on the admin port. */
import { once } from "node:events";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { semrs } from "./cli.ts";

const data = mkdtempSync(join(tmpdir(), "semrs-admin-token-"));
writeFileSync(join(data, "admin.token"), "a token\n");

const cut: RequestListener = (_request, response) => {
  response.writeHead(200, { "content-length": "100" });
  response.write("{", () => response.destroy());
};
const html: RequestListener = (_request, response) => void response.end("<html>welcome</html>");

test.each<[string, RequestListener, readonly string[]]>([
  ["another program", html, ["status"]],
  ["another program", html, ["pause", "his", "--reason", "x"]],
  ["a site that ends", cut, ["status"]],
  ["a site that ends", cut, ["journal", "list"]],
  ["a site that ends", cut, ["journal", "show", "A1", "--reveal", "--reason", "x"]],
])("%s is told as that: %#", async (_what, answer, args) => {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { exit, err } = await semrs([...args, "--admin", url, "--data", data]);
  server.close();
  expect({ exit, err }).toEqual({
    exit: 69,
    err: expect.stringMatching(new RegExp(`^semrs [a-z ]+: ${url} gave no whole answer of a site; is it .*\\n$`)),
  });
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

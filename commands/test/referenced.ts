/** What messages of a test refer to: files of the test, at a listener of its own, where their HIS would be asked. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import type { Test } from "./schema.ts";

export type Referenced = {
  /** The octets under an address, as a test names them. */
  contentOf(address: string): Uint8Array | undefined;
  /** Where a house asks in the place of the address; there is nothing there but for those that the test names. */
  at(url: URL): URL;
  stop(): void;
};

/** `folder`: what the files are relative to. */
export async function openReferenced(files: Test["referenced"], folder: string): Promise<Referenced> {
  // Compared as an address is asked for: parsed.
  const contents = new Map(
    Object.entries(files).map(([address, file]) => [new URL(address).href, readFileSync(resolve(folder, file))]),
  );
  const names = [...contents.keys()];
  const server = createServer(({ url = "" }, response) => {
    const content = contents.get(names[Number(url.slice(1))] ?? "");
    response.writeHead(content ? 200 : 404).end(content);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    contentOf: (address) => (URL.canParse(address) ? contents.get(new URL(address).href) : undefined),
    at: ({ href }) => new URL(`http://127.0.0.1:${port}/${names.indexOf(href)}`),
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** dcmjs-dimse as a client, alone in this process: sends each Part 10 file on an association of its own. `node bench/dimse-sender.ts PORT FILE…`. */
import { dimseLibrary } from "./dimse-library.ts";

const { Client, requests } = dimseLibrary();
const longestMs = 5_000;
const [port = "", ...files] = process.argv.slice(2);
// What it throws on a socket is of one file: what did not arrive is seen at the receiver.
process.on("uncaughtException", () => undefined);
for (const file of files) await send(file).catch(() => undefined);
process.exit(0);

async function send(file: string): Promise<void> {
  const client = new Client();
  client.addRequest(new requests.CStoreRequest(file));
  await new Promise<void>((resolve, reject) => {
    setTimeout(resolve, longestMs);
    client.on("closed", resolve).on("networkError", reject).on("associationRejected", reject);
    client.send("127.0.0.1", Number(port), "DCMJS", "PACS_B");
  });
}

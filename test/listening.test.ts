/** An address that cannot be listened on: the message says which, and what is the matter with it. */
import { expect, test } from "vitest";
import { listenOn } from "../connectors/wire.ts";
import { openExchange, testPki } from "./sites.ts";

/** TEST-NET-1 (RFC 5737): no machine has it. */
const nowhere = "192.0.2.1";
const context = { log: () => undefined };

test("an address of another machine is not told as taken", async () => {
  const refused = (port: string) => ({
    code: "CONFIG_INVALID",
    message: expect.stringMatching(`^192\\.0\\.2\\.1:${port} cannot be listened on: this machine has no such address`),
  });
  const opened = openExchange(
    await testPki(),
    {},
    (yaml) => yaml.replace(/(repository: \{ listen: ")[^:]+/, `$1${nowhere}`),
    ["hospital-a"],
  );
  await expect(opened).rejects.toMatchObject(refused("\\d+"));
  const listening = listenOn({ host: nowhere, port: 0, graceMs: 0 }, () => undefined, context);
  await expect(listening).rejects.toMatchObject(refused("0"));
});

test("one that another process has is told as that", async () => {
  const first = await listenOn({ host: "127.0.0.1", port: 0, graceMs: 0 }, () => undefined, context);
  const [, port] = first.address.split(":");
  const second = listenOn({ host: "127.0.0.1", port: Number(port), graceMs: 0 }, () => undefined, context);
  await expect(second).rejects.toMatchObject({ message: expect.stringMatching(/another process listens there/) });
  await first.stop();
});

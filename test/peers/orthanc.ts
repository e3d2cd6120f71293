/** Orthanc as a PACS: C-STORE, C-FIND and C-MOVE, with what REST says it holds. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ports } from "../../commands/demo/ports.ts";
import { until } from "../sites.ts";

export type Orthanc = {
  readonly port: number;
  held(): Promise<number>;
  rest(path: string, body?: unknown, method?: "PUT" | "POST"): Promise<unknown>;
  stop(): Promise<void>;
};

/** Starts Orthanc with an AE title and the AE titles that it knows as [title, host, port]. */
export async function startOrthanc(
  aeTitle: string,
  modalities: Readonly<Record<string, readonly [string, string, number]>> = {},
  more: object = {},
): Promise<Orthanc> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-orthanc-"));
  const { PACS = "", HTTP = "" } = await ports(["PACS", "HTTP"]);
  const configuration = {
    StorageDirectory: folder,
    IndexDirectory: folder,
    DicomPort: Number(PACS),
    HttpPort: Number(HTTP),
    DicomAet: aeTitle,
    DicomModalities: modalities,
    RemoteAccessAllowed: false,
    AuthenticationEnabled: false,
    Plugins: [],
    ...more,
  };
  writeFileSync(join(folder, "orthanc.json"), JSON.stringify(configuration));
  const child: ChildProcess = spawn("Orthanc", [join(folder, "orthanc.json")], {
    env: { ...process.env, TCP_NODELAY: "1" },
    stdio: "ignore",
  });
  const rest: Orthanc["rest"] = async (path, body, method = "PUT") => {
    const how = body === undefined ? {} : { method, body: JSON.stringify(body) };
    const text = await (await fetch(`http://127.0.0.1:${HTTP}${path}`, how)).text();
    return text === "" ? undefined : JSON.parse(text);
  };
  await until(
    "Orthanc listens",
    async () =>
      await rest("/system").then(
        () => true,
        () => false,
      ),
  );
  return {
    port: Number(PACS),
    rest,
    held: async () => ((await rest("/instances")) as string[]).length,
    stop: async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** The evidence of a push, at the house that sent it and at the one that has it: what was sent to whom, verified with OpenSSL alone. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { evidenceCommand } from "../../commands/evidence.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { openExchange, testPki, until } from "../sites.ts";
import { commandsIn, run } from "./evidence-page.ts";

const openssl = peer("openssl");
const base = mkdtempSync(join(tmpdir(), "semrs-evidence-"));

/** The folders that both houses export of a report that hospital A pushes to hospital B. */
async function exported(name: string, profile: (yaml: string) => string = (yaml) => yaml) {
  const exchange = await openExchange(await testPki(), { RETRY: "100ms" }, (yaml) =>
    profile(yaml.replaceAll("route: [repository]", "route: [repository, hospital-b]")),
  );
  try {
    const report = {
      form: "113",
      extension: "PUSHED",
      patient: chen,
      code: "11502-2",
      display: "x",
      title: "t",
      body: "x",
    };
    await exchange.message(mdmFor(cda(report), { controlId: "PUSHED" }));
    await until("the proof of delivery at hospital A", async () => {
      const [own] = await exchange
        .admin("hospital-a")
        .get<readonly { receipts: readonly { kind: string }[] }[]>("/records");
      return own?.receipts.some(({ kind }) => kind === "delivered") === true;
    });
    const of = async (site: "hospital-a" | "hospital-b", port: string) => {
      const [record] = await exchange.admin(site).get<readonly { id: string }[]>("/records");
      const folder = join(base, `${name}-${site}`);
      const where = [
        "--admin",
        `http://127.0.0.1:${exchange.env[port]}`,
        "--data",
        join(exchange.folder, "data", site),
      ];
      await evidenceCommand().parseAsync(["export", record?.id ?? "", ...where, "--out", folder], { from: "user" });
      return folder;
    };
    return { atA: await of("hospital-a", "A_ADMIN"), atB: await of("hospital-b", "B_ADMIN") };
  } finally {
    await exchange.close();
  }
}

describe.skipIf(!openssl.available)("what was pushed", () => {
  test("the sender proves what its partner has receipted: the manifest of the push, with the record's own parts", async () => {
    const { atA, atB } = await exported("semrs-2");
    const names = readdirSync(atA);
    expect(names).toEqual(expect.arrayContaining(["push-hospital-b.json", "push-hospital-b.p7s"]));
    run(atA);
    run(atB);
    // It is what the partner has as the author's word.
    expect(readFileSync(join(atA, "push-hospital-b.json"))).toEqual(readFileSync(join(atB, "author.json")));

    // Another document in the record's place, or another push in the receipts', does not verify.
    const digest = /"sha256":"(\w{64})"/.exec(readFileSync(join(atA, "author.json"), "utf8"))?.[1] ?? "none";
    for (const command of ["receipt-stored-hospital-b.json", "receipt-delivered-hospital-b.json", "author.json"])
      expect(commandsIn(atA).some((line) => line.includes("push-hospital-b.json") && line.includes(command))).toBe(
        true,
      );
    for (const [name, from, to] of [
      ["author.json", digest, "0".repeat(64)],
      ["push-hospital-b.json", digest, "0".repeat(64)],
    ] as const) {
      const folder = join(base, `changed-${name}`);
      cpSync(atA, folder, { recursive: true });
      writeFileSync(join(folder, name), readFileSync(join(folder, name), "utf8").replace(from, to));
      const bound = commandsIn(folder).filter((line) => line.includes('"parts"'));
      expect(bound).toHaveLength(1);
      for (const line of bound)
        expect(() => execFileSync("sh", ["-c", line], { cwd: folder, stdio: "pipe" })).toThrow();
    }
  });

  test("of smime-4, which signs the document itself, the receiving house says so, and proves the rest", async () => {
    const { atA, atB } = await exported("smime-4", (yaml) =>
      yaml.replaceAll(/(certificates: "\$\{PKI:pki\}\/hospital-[ab]") \}/g, "$1, profiles: [smime-4] }"),
    );
    expect(process.exitCode).toBeUndefined();
    run(atA);
    run(atB);
    const receipts = readFileSync(join(atA, "README.md"), "utf8").match(/^\| `receipt-.*-hospital-b.*$/gm) ?? [];
    expect(receipts.map((row) => row.includes("the manifest that it names is not in this folder"))).toEqual([
      true,
      true,
    ]);
    expect(readdirSync(atB).filter((name) => name.startsWith("author"))).toEqual([]);
    expect(readdirSync(atB)).toContain("receipt-delivered-hospital-b.json");
    expect(readFileSync(join(atB, "README.md"), "utf8")).toMatch(/`author\.\*` .*signed it together with the document/);
  });
});

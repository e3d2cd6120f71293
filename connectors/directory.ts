/** Directory: a source that takes finished files, and a destination that leaves whole ones. Nobody ever sees half a file. */
import { createHash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { lstat, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { codeOf, type ErrorCode, Fault, hasNoRoom, reasonOf } from "../errors.ts";
import { makeFolder } from "../folder.ts";
import type { Context, Deliver, Destination, Item, Source, Verdict } from "./connector.ts";
import { seconds } from "./wire.ts";

const sourceOptions = z.object({
  path: z
    .string()
    .describe("Folder to watch. A file is taken once its size has not changed between two looks; a rename in is best."),
  mediaType: z.enum(["application/hl7-v2", "application/dicom"]).describe("What the files are."),
  everySeconds: seconds.default(1).describe("How often to look."),
});

const destinationOptions = z.object({ path: z.string().describe("Folder to leave files in.") });

/** Names that may be looked at; anything that begins with a dot is still being written. */
const plainName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$/;
const oddNames =
  "files are not taken whose names have other characters than letters, digits, dot, dash and underscore, nor links; rename or copy them";
/** Where files go that were taken. */
const places: readonly string[] = ["done", "refused"];
/** Whoever may write where files come in may lay a link there to what is not theirs, or a pipe, at any moment. */
const asItStands = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export const directorySource: Source<typeof sourceOptions> = {
  name: "directory",
  summary: "finished files in a folder; moved to done/ or refused/ with the reason",
  options: sourceOptions,
  example: "directory: { path: incoming, mediaType: application/hl7-v2 }",
  listen: async (settings, deliver, context) => {
    for (const place of places) await makeFolder(join(settings.path, place));
    const sizes = new Map<string, number>();
    let skipped = 0;
    let isWaiting = false;
    let isStopped = false;
    let timer: NodeJS.Timeout | undefined;
    let running: Promise<void> = Promise.resolve();
    const look = async (): Promise<void> => {
      for (const place of places) await checkPlace(join(settings.path, place));
      const found = (await readdir(settings.path, { withFileTypes: true })).filter(
        ({ name }) => !name.startsWith(".") && !places.includes(name),
      );
      const names = found.filter((each) => plainName.test(each.name) && !each.isSymbolicLink()).map(({ name }) => name);
      const odd = found.length - names.length;
      if (odd > skipped)
        context.log("directory.skipped", { peer: settings.path, count: odd, reason: oddNames }, "warn");
      skipped = odd;
      // Of what its writer has renamed or removed nothing stays: another file may come under that name, still being written.
      const there = new Set(names);
      for (const name of sizes.keys()) if (!there.has(name)) sizes.delete(name);
      for (const name of names) {
        if (isStopped) continue;
        const file = await lstat(join(settings.path, name)).catch(() => undefined);
        if (!file?.isFile()) continue;
        const isFinished = sizes.get(name) === file.size;
        sizes.set(name, file.size);
        if (!isFinished) continue;
        sizes.delete(name);
        const verdict = await take(settings.path, name, settings.mediaType, deliver, context);
        const wasWaiting = isWaiting;
        isWaiting = hasToWait(verdict);
        if (!isWaiting) continue;
        sizes.set(name, file.size);
        if (!wasWaiting) context.log("directory.waiting", { peer: settings.path, ...toldOf(verdict) }, "warn");
        // The others would be told the same, unless they are another channel's.
        if (verdict.code !== "STOPPING") return;
      }
    };
    const again = (): void => {
      if (isStopped) return;
      timer = setTimeout(() => {
        running = look()
          .catch((thrown: unknown) =>
            context.log("directory.failed", { code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
          )
          .finally(again);
      }, settings.everySeconds * 1000);
    };
    again();
    return {
      address: settings.path,
      isListening: () => !isStopped,
      stop: async () => {
        isStopped = true;
        clearTimeout(timer);
        await running;
      },
    };
  },
};

/** A folder, or a link that we or the system's owner have made: by that of another, files would replace what only we may. */
async function checkPlace(path: string): Promise<void> {
  const found = await lstat(path);
  if (found.isSymbolicLink() && found.uid !== 0 && found.uid !== process.getuid?.())
    throw new Fault("NOT_PERMITTED", `${path} is a link of another user; make it a folder`);
}

/** While nothing can be kept at all, or not any more by this process, files stay where they are. */
const waits: ReadonlySet<ErrorCode> = new Set(["STORE_FULL", "STORE_DAMAGED", "STOPPING"]);

const hasToWait = ({ accepted, code = "UNEXPECTED" }: Verdict): boolean => !accepted && waits.has(code);
const toldOf = ({ code = "UNEXPECTED", reason = "" }: Verdict) => ({ code, reason });

/** One file: delivered, then moved where its verdict says, unless that may pass. */
async function take(
  folder: string,
  name: string,
  mediaType: "application/hl7-v2" | "application/dicom",
  deliver: Deliver,
  { log }: Context,
): Promise<Verdict> {
  const path = join(folder, name);
  const before = await lstat(path).catch(() => undefined);
  const verdict = await deliver({ body: octetsOf(path), mediaType, controlId: name, sender: folder })
    .then(async ({ answer }) => await answer)
    .catch((thrown: unknown): Verdict => ({ accepted: false, code: codeOf(thrown), reason: reasonOf(thrown) }));
  // Another one may have taken its place meanwhile: it is looked at next.
  if (!isSame(before, await lstat(path).catch(() => undefined))) return verdict;
  if (verdict.accepted) await rename(path, join(folder, "done", name));
  else if (!hasToWait(verdict)) {
    // Never the file's name: it may be a patient's.
    log("directory.refused", { peer: folder, ...toldOf(verdict) }, "warn");
    const reason = join(folder, "refused", `${name}.reason.txt`);
    await rm(reason, { force: true });
    await writeFile(reason, `${verdict.code}: ${verdict.reason ?? ""}\n`, { flag: "wx" });
    await rename(path, join(folder, "refused", name));
  }
  return verdict;
}

const isSame = (one: Stats | undefined, other: Stats | undefined): boolean =>
  one?.ino === other?.ino && one?.size === other?.size && one?.mtimeMs === other?.mtimeMs;

/** Opened with the first octet that is asked for: who refuses before that leaves no file open. */
async function* octetsOf(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, asItStands);
  yield* file.createReadStream() as AsyncIterable<Uint8Array>;
}

export const directoryDestination: Destination<typeof destinationOptions> = {
  name: "directory",
  summary: "files in a folder, whole or not at all",
  options: destinationOptions,
  example: "directory: { path: outgoing }",
  send: async ({ path }, items, report) => {
    for await (const item of items) {
      try {
        await makeFolder(path);
        await leave(path, item);
      } catch (cause) {
        if (hasNoRoom(cause)) throw new Fault("PEER_BUSY", `${path} is full; free space`, { cause });
        throw cause instanceof Fault ? cause : new Fault("PEER_UNREACHABLE", `${path} cannot be written`, { cause });
      }
      report(item, { state: "delivered" });
    }
  },
};

async function leave(folder: string, item: Item): Promise<void> {
  const name = plainName.test(item.controlId)
    ? item.controlId
    : createHash("sha256").update(item.controlId).digest("hex");
  const temporary = join(folder, `.${name}.${process.hrtime.bigint()}`);
  const file = await open(temporary, "wx", 0o600);
  try {
    for await (const chunk of item.body()) await file.write(chunk);
    await file.datasync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(folder, name));
  const directory = await open(folder, "r");
  await directory.sync();
  await directory.close();
}

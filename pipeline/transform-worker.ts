/**
 * The worker thread of one transform module. Its message is node-hl7-client's behind a façade: values are escaped when they are
 * written, an absent one is an empty text (the library's own `set` escapes nothing and its subcomponents throw).
 */
import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import { Fault } from "../errors.ts";
import { type View, viewOf } from "../formats/cda-view.ts";
import { readMsh } from "../formats/hl7.ts";
import { edited, type FieldEdit, fieldAddress, valuesOf } from "../formats/hl7-edit.ts";
import type { Reply } from "../formats/worker-pool.ts";

export type TransformJob = {
  /** The message without its documents. */
  readonly text: string;
  readonly document: Uint8Array;
};

/** What a module's default export gets; it may be asynchronous, and returns nothing. */
export type TransformInput = {
  readonly message: {
    /** The first value of a field such as PID-3.4, unescaped; empty if there is none. */
    get(field: string): string;
    /** Values of every segment and repetition. */
    all(field: string): readonly string[];
    /** Writes a field in every segment and repetition; the segment has to be there. */
    set(field: string, value: string): void;
  };
  /** The document's JSON view: CDA's names bare, `sdtc:` and `xsi:` before those, attributes as `@name`, text as `#text`, everything text. */
  readonly document: View;
};
export type Transform = (input: TransformInput) => void | Promise<void>;

/** Fields that one run may write. */
const maxEdits = 1_000;

// What a module prints may quote a patient, and would stand among the lines of the log.
for (const printed of [process.stdout, process.stderr]) printed.write = () => true;

const module = String(workerData);
const transform = import(pathToFileURL(module).href).then(({ default: made }: { default: Transform }) => made);
const library = import("node-hl7-client");
// Told with the first job.
transform.catch(() => undefined);

parentPort?.on("message", (job: TransformJob) => void run(job).then((reply) => parentPort?.postMessage(reply)));

async function run({ text, document }: TransformJob): Promise<Reply> {
  try {
    const edits: FieldEdit[] = [];
    const made = await transform;
    if (typeof made !== "function") throw new TypeError("no default export that is a function");
    const message = await facade(text, edits);
    let view: View | undefined;
    await made({
      message,
      get document() {
        view ??= viewOf(document);
        return view;
      },
    });
    return { value: edits };
  } catch (thrown) {
    return { code: "TRANSFORM_FAILED", message: `the transform ${nameOf(module)} failed: ${whatOf(thrown)}` };
  }
}

async function facade(text: string, edits: FieldEdit[]): Promise<TransformInput["message"]> {
  const { Message } = await library;
  let parsed = new Message({ text });
  const facts = { ...readMsh(Buffer.from(text, "utf8"), { charset: "utf-8" }) };
  const octets = (): Uint8Array => Buffer.from(parsed.toString(), "utf8");
  const known = (field: string): string => {
    if (!fieldAddress.test(field))
      throw new RangeError("a field is SEG-n, SEG-n.component or SEG-n.component.subcomponent");
    return field;
  };
  const all = (field: string): readonly string[] => valuesOf(octets(), facts, known(field));
  return {
    get: (field) => all(field)[0] ?? "",
    all,
    set: (field, value) => {
      if (edits.length >= maxEdits) throw new RangeError(`over ${maxEdits} fields are written`);
      const edit = { field: known(field), to: String(value) };
      // What is read from now on is what the edit makes of the message.
      parsed = new Message({ text: Buffer.from(edited(octets(), facts, [edit])).toString("utf8") });
      edits.push(edit);
    },
  };
}

const nameOf = (path: string): string => path.replace(/^.*[\\/]/, "");

/** Kind and place; the message of what an engineer throws may quote a patient, ours does not. */
function whatOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return `it threw ${typeof thrown}`;
  const at = thrown.stack?.split("\n").find((line) => line.includes(nameOf(module)));
  const place = /:(\d+):\d+\)?$/.exec(at ?? "")?.[1];
  const kind = thrown instanceof Fault ? thrown.message : thrown.name;
  return place ? `${kind} at line ${place}` : kind;
}

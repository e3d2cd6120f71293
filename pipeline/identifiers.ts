/** How one patient is named on different wires: PID-3 authorities to OIDs, by the configuration's `identifiers`. */
import { Fault } from "../errors.ts";
import type { PatientId } from "../formats/command.ts";
import type { PatientIdentifier } from "../formats/hl7.ts";
import type { Config } from "./config.ts";

/** An OID, or a UUID: what may stand as the root of an id without extension (HL7 V3 II). */
const rootForm = /^([0-2](\.(0|[1-9][0-9]*)){1,62}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$/;

/**
 * The patient ids (root, extension) of PID-3 repetitions. An authority that nothing maps yields none and is counted.
 * A PID-3.1 that is itself an OID or a UUID also names a patient whose CDA id has a root and no extension.
 */
export function patientIdsOf(
  config: Config,
  identifiers: readonly PatientIdentifier[],
): { readonly ids: readonly PatientId[]; readonly unmapped: number } {
  const ids: PatientId[] = [];
  let unmapped = 0;
  for (const { id, authority, root } of identifiers) {
    const roots = root ? [root] : rootsOf(config, authority);
    for (const each of roots) ids.push({ root: each, extension: id });
    const isRoot = rootForm.test(id);
    if (isRoot) ids.push({ root: id, extension: "" });
    if (roots.length === 0 && !isRoot) unmapped += 1;
  }
  return { ids, unmapped };
}

const rootsOf = (config: Config, authority: string | null): readonly string[] =>
  authority === null
    ? []
    : (config.identifiers.find(({ authorities }) => authorities.includes(authority))?.roots ?? []);

/**
 * A patient as a person writes them: ROOT^NUMBER, NAME^NUMBER with a name under `identifiers` or an authority of PID-3.4, or a
 * number that this house gives. QUERY_INVALID, without the number, for what is none of these, or could be several.
 */
export function writtenId(config: () => Config, written: string): PatientId {
  const [, name, extension = ""] = /^(?:([^^]+)\^)?([^^]+)$/.exec(written.trim()) ?? [];
  if (extension === "" || written.length > maxWritten)
    throw notNamed("ROOT^NUMBER, NAME^NUMBER or a number of this house");
  if (name !== undefined && rootForm.test(name)) return { root: name, extension };
  const { identifiers, site } = config();
  const roots = identifiers
    .filter((each) =>
      name === undefined ? each.owner === site : each.name === name || each.authorities.includes(name),
    )
    .flatMap((each) => each.roots);
  const [root, ...more] = roots;
  if (root === undefined)
    throw notNamed(
      name === undefined ? "with its root: this house gives no ids" : "with a root or name that identifiers has",
    );
  if (more.length > 0) throw notNamed("with its root: several would fit");
  return { root, extension };
}
const maxWritten = 256;
const notNamed = (how: string): Fault => new Fault("QUERY_INVALID", `name the patient ${how}`);

/** An id as one text, to compare and to look up. */
export const idText = ({ root, extension }: PatientId): string => `${root}^${extension}`;

/** The organisation that gives the ids under a root; undefined where nobody in the exchange does. */
export const ownerOf = (config: Config, root: string): string | undefined =>
  config.identifiers.find(({ roots }) => roots.includes(root))?.owner;

/** Both have an id under the same root, and none of those is equal. `comparable` is false when no root is shared. */
export function comparePatients(
  one: readonly PatientId[],
  other: readonly PatientId[],
): { readonly comparable: boolean; readonly mismatch: boolean } {
  const shared = one.filter(({ root }) => other.some((id) => id.root === root));
  const equal = shared.some(({ root, extension }) =>
    other.some((id) => id.root === root && id.extension === extension),
  );
  return { comparable: shared.length > 0, mismatch: shared.length > 0 && !equal };
}

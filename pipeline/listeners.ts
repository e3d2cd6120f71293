/** What the systems of a site send to: for each a listener of HL7 v2, one of DICOM, a watched folder, as it is configured. */
import { dirname, resolve } from "node:path";
import type { Context, Running } from "../connectors/connector.ts";
import { dicomSource } from "../connectors/dicom/scp.ts";
import { directorySource } from "../connectors/directory.ts";
import { mllpSource } from "../connectors/mllp/index.ts";
import { tlsOf } from "./identity.ts";
import { openIntake } from "./intake.ts";
import type { InstanceIntake } from "./intake-instance.ts";
import type { MessageIntake } from "./intake-message.ts";
import { openPledges } from "./pledges.ts";
import type { Site } from "./site.ts";

/** As bound, by system. */
export type Addresses = Readonly<Record<string, { readonly mllp?: string; readonly dicom?: string }>>;

/** Opens one after the other; `listens` is told of each, so that they can be stopped where the next one does not open. */
export async function openListeners(
  site: Site,
  messages: MessageIntake,
  instances: InstanceIntake,
  context: Context,
  listens: (name: string, running: Running) => void,
): Promise<Addresses> {
  const systems: Record<string, { mllp?: string; dicom?: string }> = {};
  for (const [name, { mllp, dicom, directory }] of Object.entries(site.config.own.systems)) {
    const deliver = openIntake(site, name, messages, instances);
    const addresses: { mllp?: string; dicom?: string } = {};
    systems[name] = addresses;
    if (mllp?.listen) {
      const options = { ...mllp, ...mllp.listen, ...tlsOf(site.config, site.tls, mllp.tls) };
      const running = await mllpSource.listen(mllpSource.options.parse(options), deliver, context);
      listens(`${name} mllp`, running);
      addresses.mllp = running.address;
    }
    if (dicom?.listen) {
      const wire = { ...dicom.listen, commitmentTo: dicom.connect, ...tlsOf(site.config, site.tls, dicom.tls) };
      const options = dicomSource.options.parse({ ...dicom, ...wire });
      const running = await dicomSource.listen(options, deliver, { ...context, pledges: openPledges(site, name) });
      listens(`${name} dicom`, running);
      addresses.dicom = running.address;
    }
    if (directory) {
      const path = resolve(dirname(site.config.file), directory.path);
      const take = openIntake(site, name, messages, instances, true);
      listens(`${name} directory`, await directorySource.listen({ ...directory, path }, take, site));
    }
  }
  return systems;
}

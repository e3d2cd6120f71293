/** Whether what a site has to reach answers: partners by TLS with their pinned certificate, HIS by connecting, PACS by C-ECHO. */
import type { TLSSocket } from "node:tls";
import { dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import { reach, tlsOptions } from "../../connectors/wire.ts";
import { codeOf, type ErrorCode, Fault, reasonOf } from "../../errors.ts";
import { isAddress } from "../../exchange/revocation.ts";
import type { Config } from "../../pipeline/config.ts";
import { type Finding, type FindingCode, severityOf } from "../../pipeline/config-findings.ts";
import { loadKeys, tlsOf } from "../../pipeline/identity.ts";
import { say } from "../exit.ts";
import { quiet } from "../send/peer.ts";

const connectSeconds = 5;
const unreached = "PEER_UNREACHABLE";
const rejects = "PEER_REJECTS";
const byCode: Partial<Record<ErrorCode, FindingCode>> = { AE_TITLE_UNKNOWN: rejects, PEER_REFUSED: rejects };
const foreign =
  "shows a certificate that leads to none of trust.anchors, or is not for the host of its url (semrs pki csr --host there)";

export async function checkPeers(config: Config): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const attempt = async (who: string, work: () => Promise<void>): Promise<void> => {
    const started = performance.now();
    try {
      await work();
      say(`${config.site} → ${who}: answers in ${Math.round(performance.now() - started)} ms`);
    } catch (thrown) {
      const code =
        codeOf(thrown) === "CERTIFICATE_INVALID" && who in config.partners
          ? "PARTNER_CERTIFICATE"
          : (byCode[codeOf(thrown)] ?? unreached);
      findings.push({
        file: `${config.site} → ${who}`,
        line: 0,
        column: 0,
        severity: severityOf(code),
        code,
        message: reasonOf(thrown),
      });
    }
  };
  const { tls, identity } = loadKeys(config);
  for (const [name, { url }] of Object.entries(config.partners)) {
    if (name === config.site) continue;
    const { hostname, port } = new URL(url);
    const ours = tlsOptions.parse({ key: tls.key, certificate: tls.certificate, ca: tls.ca });
    await attempt(name, async () => {
      const socket = await reach(
        { host: hostname, port: Number(port || 443), connectSeconds, tls: ours },
        url,
        quiet.signal,
      ).catch((thrown: unknown) => {
        throw codeOf(thrown) === "CERTIFICATE_INVALID" ? new Fault("CERTIFICATE_INVALID", foreign) : thrown;
      });
      const shown = (socket as TLSSocket).getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase();
      socket.destroy();
      if (shown !== identity.partners.get(name)?.tls)
        throw new Fault(
          "CERTIFICATE_INVALID",
          `answers with another certificate (${shown?.slice(0, 16)}) than tls.crt here`,
        );
    });
  }
  for (const source of config.trust.crls.filter(isAddress)) {
    await attempt(`revocation list ${source}`, async () => {
      const { ok, status } = await fetch(source, { signal: AbortSignal.timeout(connectSeconds * 1000) });
      if (!ok) throw new Fault("PEER_UNREACHABLE", `answered ${status}`);
    });
  }
  for (const [name, { mllp, dicom }] of Object.entries(config.own.systems)) {
    if (mllp?.connect) {
      const wire = tlsOptions.parse(tlsOf(config, tls, mllp.tls).tls);
      for (const { host, port } of [mllp.connect, ...mllp.standby])
        await attempt(`${name} (mllp ${host}:${port})`, async () => {
          const socket = await reach({ host, port, connectSeconds, tls: wire }, `${host}:${port}`, quiet.signal);
          socket.destroy();
        });
    }
    if (dicom?.connect) {
      const options = {
        ...dicom,
        ...dicom.connect,
        ...tlsOf(config, tls, dicom.tls),
        callingAeTitle: dicom.aeTitle,
        connectSeconds,
      };
      await attempt(`${name} (C-ECHO ${dicom.calledAeTitle}@${dicom.connect.host}:${dicom.connect.port})`, () =>
        echo(dicomDestination.options.parse(options), quiet),
      );
    }
  }
  return findings;
}

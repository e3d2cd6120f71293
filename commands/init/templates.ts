/** The files that `semrs init` writes. */
import { resolve } from "node:path";

/** A commented channels.yaml for one house, in the shadow of its live feed. */
export const channels = (site: string): string => `# yaml-language-server: $schema=./channels.schema.json
# One house. \${NAME} and \${NAME:default} come from the environment; paths are relative to this file.
# Every key: docs/reference/channels.md. After each change: semrs check && semrs test
site: ${site}
timeZone: Asia/Taipei

identifiers:                           # how one patient is named: OIDs in documents, assigning authorities in PID-3.4
  national: { roots: [2.16.886.101.20003.20001], authorities: [MOI] }
  ${site}: { roots: ["\${OWN_ROOT:2.16.886.104.1}"], authorities: [${authority(site)}] }

trust: { anchors: [pki/ca.crt], crls: [pki/ca.crl] }

# partners:                              # whom we seal for, whose signatures we accept; their certificates: semrs pki trust
#   registry:   { url: "https://registry.example:8440",   certificates: pki/registry }
#   hospital-b: { url: "https://hospital-b.example:8442", certificates: pki/hospital-b }

sites:
  ${site}:
    data: "\${DATA:data}"               # everything in it is sealed under pki/${site}/storage.key
    admin: { listen: "127.0.0.1:\${ADMIN:9441}" }
    repository: { listen: "\${LISTEN:127.0.0.1}:\${REST:8441}" }
    run: [imaging, documents]          # a document goes to the first channel that takes it
    systems:
      his:                             # off this machine: tls: {}, or clearText: "<why not>"
        mllp: { listen: "127.0.0.1:\${HIS:2575}", charset: from-msh-18, answer: validated }
      pacs:                            # off this machine: callers: [{ aeTitle: PACS, address: 10.1.2.3 }]
        dicom: { listen: "127.0.0.1:\${PACS:11112}", aeTitle: SEMRS, callers: [] }

channels:
  imaging:                             # a report and the study it refers to are one record
    source: [his, pacs]
    filter: { messages: [MDM, ORU^R01], documents: [116, refers-to-study], processingId: P }
    validate:
      document: { patient: reject }    # PID-3 and the document name different patients: AE
      study: { patient: hold }         # the study's PatientID is none of the document's: a person decides
    assemble:
      study: { quiet: "\${QUIET:60s}", wait: "\${STUDY_WAIT:12h}", then: proceed }
    route: [none]                      # in the shadow: sealed, kept, not sent. To go live: [repository], and remove because
    because: beside the live feed, until both houses have compared
  documents:                           # all other reports
    source: [his]
    filter: { messages: [MDM, ORU^R01], documents: [113, 114, 115, 121, other], processingId: P }
    route: [none]
    because: beside the live feed, until both houses have compared
  # incoming:                          # what other houses hold, for a patient who comes to us (add it to run)
  #   fetch:
  #     when: [{ admission: his, messages: [ADT^A01, ADT^A04], again: [5s, 1m, 10m] }]
  #     rules: [{ documents: [113, 114, 115, 116, 121, other], since: 180d, latest: 50 }]
  #   deliver:
  #     - { to: his }                  # with the patient as our HIS admitted them (identity: ours)
  #     - { to: pacs, authority: ${authority(site)} }   # whose number becomes PatientID
`;

/** Assigning authority as a HIS would write it. */
const authority = (site: string): string =>
  site
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, "")
    .slice(0, 20);

/** A first test of that file. */
export const tests = (
  site: string,
): string => `# What channels.yaml does, as tests: semrs test (--watch while you edit). Every key: docs/reference/testing.md
site: ${site}
environment: { QUIET: 200ms, STUDY_WAIT: 1s }
tests:
  - name: a report is accepted, validated and sealed, and nothing leaves
    send: { to: his, files: [samples/report.hl7], expect: { ack: AA } }
    expect:
      channel: documents
      findings: []
      entry: { form: "121" }
      opensFor: [${site}]
      routed: []
      neverInClear: [A145678902, 林志明]
`;

/** What channels.yaml takes from the environment. */
export const environment = (
  site: string,
): string => `# Copy to .env; semrs-${site}.service reads it. No secret is here: keys are files.
DATA=data
LISTEN=127.0.0.1
REST=8441
ADMIN=9441
HIS=2575
PACS=11112
OWN_ROOT=2.16.886.104.1
`;

/** A systemd unit: own user, its folder writable, the rest read-only. */
export const service = (site: string, folder: string): string => `[Unit]
Description=SEMRS, ${site}
After=network-online.target
Wants=network-online.target

[Service]
User=semrs
WorkingDirectory=${resolve(folder)}
EnvironmentFile=-${resolve(folder)}/.env
ExecStart=/usr/bin/env semrs run --config channels.yaml
ExecReload=/usr/bin/env kill -HUP $MAINPID
Restart=always
RestartSec=2
# What was accepted is finished; what hangs is cut by semrs itself after five seconds.
TimeoutStopSec=30
LimitNOFILE=65536
# The memory of a process that ends by a defect has keys and documents in it: it is not written to the disk.
LimitCORE=0
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=${resolve(folder)}
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
`;

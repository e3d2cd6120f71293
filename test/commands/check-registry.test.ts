/** `semrs check` of what a house needs to share records: a registry to tell and to ask, and a repository to be retrieved from. */
import { expect, test } from "vitest";
import { checked } from "./checked.ts";

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
const registry =
  '  registry:   { url: "https://127.0.0.1:${REGISTRY_PORT:8440}", certificates: "${PKI:pki}/registry" }\n';
const repository = '    repository: { listen: "127.0.0.1:${A_PORT:8441}" }\n';
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: it ends here

test.each([
  [
    "no partner is the registry",
    [[registry, ""]],
    [
      "CONFIG_NAME channels.imaging.route.0: there is no registry to tell, no partner registry; there is hospital-a, hospital-b",
      "CONFIG_NAME channels.documents.route.0: there is no registry to tell, no partner registry; there is hospital-a, hospital-b",
      "CONFIG_NAME channels.incoming.fetch.when.0: there is no registry to ask, no partner registry; there is hospital-a, hospital-b",
      "CONFIG_NAME channels.incoming.fetch.when.1: there is no registry to ask, no partner registry; there is hospital-a, hospital-b",
    ],
  ],
  [
    "a name that no partner has",
    [
      ["timeZone: Asia/Taipei", "timeZone: Asia/Taipei\nregistryPartner: regisrty"],
      ["run: [imaging, documents]", "run: [documents]"],
      ["run: [incoming]", "run: []"],
    ],
    [
      'CONFIG_NAME channels.documents.route.0: there is no registry to tell, no partner regisrty; did you mean "registry"?',
    ],
  ],
  [
    "nowhere to retrieve from",
    [[repository, ""]],
    [
      'CONFIG_DESTINATION channels.imaging.route.0: hospital-a has no repository, from which others could retrieve; add repository: { listen: "host:port" }',
      'CONFIG_DESTINATION channels.documents.route.0: hospital-a has no repository, from which others could retrieve; add repository: { listen: "host:port" }',
    ],
  ],
] as const)("%s", async (_name, edit, wanted) => {
  const { exit, findings } = await checked(edit);
  expect(findings.map(({ code, message }) => `${code} ${message}`)).toEqual(wanted);
  expect(exit).toBe(78);
});

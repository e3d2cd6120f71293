/** A house that is the registry as well: one REST service serves both, at one address. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { checked } from "../commands/checked.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";

const repository = `    repository: { listen: "127.0.0.1:\${A_PORT:8441}" }\n`;
const [one, other] = ["A_PORT:8441", "A_REGISTRY:8440"].map(
  (port) => `${repository}    registry: { listen: "127.0.0.1:\${${port}}" }\n`,
) as [string, string];

let exchange: TestExchange;
beforeAll(async () => {
  const edit = (yaml: string): string =>
    yaml.replace("timeZone:", "registryPartner: hospital-a\ntimeZone:").replace(repository, one);
  exchange = await openExchange(await testPki(), { RETRY: "100ms" }, edit, ["hospital-a", "hospital-b"]);
});
afterAll(() => exchange.close());

test("it registers its reports with itself, and answers others as both", async () => {
  const report = cda({
    form: "113",
    extension: "R.1",
    patient: chen,
    code: "11502-2",
    display: "x",
    title: "t",
    body: "x",
  });
  await exchange.message(mdmFor(report, { controlId: "R1" }));
  await exchange.registered(1);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  await until("at HIS B", () => exchange.documentsAtB().has(sha256(report)));
});

test("two addresses are refused: at the registry's nobody would listen", async () => {
  expect((await checked([[repository, one]])).findings).toEqual([]);
  expect((await checked([[repository, other]])).findings).toMatchObject([
    {
      code: "CONFIG_VALUE",
      message: expect.stringContaining(
        "registry.listen: a house has one REST service: listen at 127.0.0.1:8441 as its repository does",
      ),
    },
  ]);
});

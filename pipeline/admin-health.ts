/** What the admin port answers without a token: nothing of a message, nothing of a patient. */
import { get, type Route } from "./admin-route.ts";
import { checkLine, isReady } from "./readiness.ts";

export const openRoutes: readonly Route[] = [
  get("/metrics", {
    isOpen: true,
    summary: "Metrics for Prometheus.",
    produces: "text/plain",
    answer: async ({ running: { site }, response }) => {
      const { registry } = site.metrics;
      response.type(registry.contentType).send(await registry.metrics());
    },
  }),
  get("/health/live", { isOpen: true, summary: "Whether the process answers.", answer: () => ({ live: true }) }),
  get("/health/ready", {
    isOpen: true,
    summary: "Whether it can do its work: 200 or 503, one line a check as text/plain, else JSON.",
    answer: async ({ running, request, response }) => {
      const checks = await running.readiness.checks();
      const ready = isReady(checks);
      response.status(ready ? 200 : 503);
      if (request.accepts(["json", "text"]) === "text")
        response.type("text/plain").send(`${[`ready: ${ready}`, ...checks.map(checkLine)].join("\n")}\n`);
      else response.json({ ready, checks, systems: running.health() });
    },
  }),
];

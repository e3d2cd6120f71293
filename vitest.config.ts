import { defineConfig } from "vitest/config";

// Whole sites are started by some tests, which wait a third of their time: three workers fit the two cores CI has.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 3,
    // Only with --coverage: `npm run coverage`.
    coverage: { include: ["envelope/**/*.ts"], reporter: ["json"], reportsDirectory: "node_modules/.coverage" },
  },
});

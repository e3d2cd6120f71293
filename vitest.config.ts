import { defineConfig } from "vitest/config";

// Whole sites are started by some tests; two workers fit the two cores CI has.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    // Only with --coverage: `npm run coverage`.
    coverage: { include: ["envelope/**/*.ts"], reporter: ["json"], reportsDirectory: "node_modules/.coverage" },
  },
});

import { defineConfig } from 'vitest/config';

// Real Chromium, one page after the other.
export default defineConfig({
  test: {
    include: ['e2e/**/*.test.ts'],
    // Pictures are for a person; LOOK says where they go.
    exclude: process.env.LOOK ? [] : ['e2e/look.test.ts'],
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';
import { createMock } from './test/mock/server.ts';

const target = process.env.ATTESTRY_URL;

/** `npm run dev` talks to the server at ATTESTRY_URL when there is one, else to the mock the tests use. */
function mock(): Plugin {
  return {
    name: 'attestry-mock',
    configureServer(server) {
      if (!target) server.middlewares.use(createMock().handle);
    },
    configurePreviewServer(server) {
      if (!target) server.middlewares.use(createMock().handle);
    },
  };
}

const proxy = target ? { '/api': target, '/log': target } : undefined;

export default defineConfig({
  plugins: [svelte(), mock()],
  server: { host: '127.0.0.1', port: 7985, proxy },
  preview: { host: '127.0.0.1', port: 7986, proxy },
  build: {
    target: 'es2022',
    // The page's CSP knows no `data:` addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  test: { include: ['src/**/*.test.ts', 'test/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0]);

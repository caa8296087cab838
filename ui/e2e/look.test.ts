import { test } from 'vitest';
import { look } from './look.ts';

const folder = process.env.LOOK;

test.runIf(folder !== undefined)('pictures', async () => look(folder ?? ''), 240_000);

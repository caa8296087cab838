import { test } from 'vitest';
import { look } from './look.ts';

test('pictures', () => look(process.env.LOOK ?? ''), 240_000);

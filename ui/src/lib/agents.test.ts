import { expect, test } from 'vitest';
import { agentState, expiresSoon, lost } from './agents.ts';
import type { Agent } from './api.ts';

const now = Date.parse('2026-11-21T12:00:00Z');
const agent = (more: Partial<Agent>): Agent => ({
  name: 'web1',
  ledgers: ['audit'],
  enrolled_at: '2026-11-01T00:00:00Z',
  revoked_at: null,
  expires_at: '2027-11-01T00:00:00Z',
  last_seen: '2026-11-21T11:59:50Z',
  address: '10.0.0.7',
  progress: [],
  status: null,
  ...more,
});

const status = {
  version: '0.1.0',
  now: '2026-11-21T11:50:00Z',
  spool: { events: 0, bytes: 0, oldest_s: null },
  sources: [],
  sinks: [],
};

test('the state of an agent is the worst that is true', () => {
  for (const [of, state] of [
    [agent({}), 'sending'],
    [agent({ last_seen: '2026-11-21T11:56:59Z' }), 'silent'],
    [agent({ last_seen: '2026-11-21T11:50:00Z', status: { ...status, every_s: 300 } }), 'sending'],
    [agent({ last_seen: '2026-11-21T11:44:59Z', status: { ...status, every_s: 300 } }), 'silent'],
    [agent({ last_seen: null }), 'never seen'],
    [agent({ last_seen: '2026-11-01T00:00:00Z', expires_at: '2026-11-21T12:00:00Z' }), 'expired'],
    [agent({ revoked_at: '2026-11-21T12:00:00Z', expires_at: '2026-11-01T00:00:00Z' }), 'revoked'],
  ] as const) {
    expect(agentState(of, now)).toBe(state);
  }
});

test('losses of all ledgers add up, and a certificate that is not renewed is seen in time', () => {
  const progress = [
    { ledger: 'audit', epoch: 1, next: 9, lost: 2 },
    { ledger: 'logs', epoch: 1, next: 9, lost: 3 },
  ];
  expect([lost(agent({})), lost(agent({ progress }))]).toEqual([0, 5]);
  expect(expiresSoon(agent({}), now)).toBe(false);
  expect(expiresSoon(agent({ expires_at: '2026-12-20T00:00:00Z' }), now)).toBe(true);
  expect(expiresSoon(agent({ expires_at: null }), now)).toBe(false);
});

/** What an agent's numbers mean. */
import type { Agent } from './api';

/** The server says that an agent is silent after three times as long as it takes between two reports, and after no less than this. */
const SILENT_MS = 180_000;
const PATIENCE = 3;
/** An agent renews its certificate when a third of a year is left; less than this means that it does not. */
const SOON_MS = 30 * 86_400_000;

export type AgentState = 'revoked' | 'expired' | 'never seen' | 'silent' | 'sending';

export function agentState(agent: Agent, now: number): AgentState {
  if (agent.revoked_at !== null) return 'revoked';
  if (agent.expires_at !== null && Date.parse(agent.expires_at) <= now) return 'expired';
  if (agent.last_seen === null) return 'never seen';
  const late = Math.max(SILENT_MS, (agent.status?.every_s ?? 0) * 1000 * PATIENCE);
  return now - Date.parse(agent.last_seen) > late ? 'silent' : 'sending';
}

export const lost = (agent: Agent) => agent.progress.reduce((sum, { lost }) => sum + lost, 0);

export const expiresSoon = (agent: Agent, now: number) =>
  agent.expires_at !== null && Date.parse(agent.expires_at) - now < SOON_MS;

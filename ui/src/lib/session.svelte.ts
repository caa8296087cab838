import { api, ApiError, whenUnauthorized, type Session } from './api';

/** Who is signed in. `lost` means the session ended under an open page, which keeps what it shows. */
class SessionState {
  state: 'unknown' | 'out' | 'in' | 'lost' = $state('unknown');
  session: Session | null = $state.raw(null);
  needsSetup = $state(false);
  failure: ApiError | null = $state.raw(null);

  get isAdmin(): boolean {
    return this.session?.user.role === 'admin';
  }

  async start(): Promise<void> {
    whenUnauthorized(() => {
      if (this.state === 'in') this.state = 'lost';
    });
    try {
      this.failure = null;
      const session = await api.session();
      if (session) this.#enter(session);
      else {
        this.needsSetup = await api.setupNeeded().catch(() => false);
        this.state = 'out';
      }
    } catch (error) {
      this.failure =
        error instanceof ApiError ? error : new ApiError(0, 'The page could not start', String(error));
    }
  }

  async signIn(username: string, password: string): Promise<void> {
    this.#enter(await api.signIn(username, password));
  }

  async setUp(token: string, username: string, password: string): Promise<void> {
    this.#enter(await api.setUp(token, username, password));
    this.needsSetup = false;
  }

  async signOut(): Promise<void> {
    await api.signOut();
    this.session = null;
    this.state = 'out';
  }

  #enter(session: Session): void {
    this.session = session;
    this.state = 'in';
  }
}

export const session = new SessionState();

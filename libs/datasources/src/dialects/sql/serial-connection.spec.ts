import { describe, expect, it } from '@jest/globals';
import { SerialConnection } from './serial-connection.js';
import type { SqlConnection } from './sql-connection.js';

interface Session {
  readonly number: number;
  isUsable: boolean;
}

/** Work that is under way until it is ended, and the order in which works began. */
class Works {
  readonly begun: string[] = [];
  readonly end = new Map<string, () => void>();
  #isOver = false;

  of(name: string): (connection: SqlConnection) => Promise<string> {
    return (connection) => {
      this.begun.push(`${name}@${(connection as unknown as Session).number}`);
      if (this.#isOver) return Promise.resolve(name);
      return new Promise((resolve) => this.end.set(name, () => resolve(name)));
    };
  }

  /** Ends those that are under way, and those that come yet. */
  async endAll(): Promise<void> {
    this.#isOver = true;
    for (const end of this.end.values()) end();
    await turn();
  }
}

function serial(): { readonly connection: SerialConnection; readonly sessions: Session[] } {
  const sessions: Session[] = [];
  const open = (): Promise<SqlConnection> => {
    const session = { number: sessions.length, isUsable: true, destroy: () => void (session.isUsable = false) };
    sessions.push(session);
    return Promise.resolve(session as unknown as SqlConnection);
  };
  return { connection: new SerialConnection(open, () => 1000), sessions };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('work that follows', () => {
  it('begins while other such work is under way, and nothing else does', async () => {
    const { connection } = serial();
    const works = new Works();
    void connection.follow(works.of('first'));
    await turn();
    const second = connection.follow(works.of('second'));
    void connection.run(works.of('alone'));
    // It would be among the statements of the one before it.
    void connection.follow(works.of('behind'));
    await turn();
    expect(works.begun).toEqual(['first@0', 'second@0']);
    works.end.get('second')?.();
    expect(await second).toBe('second');
    await turn();
    expect(works.begun.length).toBe(2);
    works.end.get('first')?.();
    await turn();
    expect(works.begun).toEqual(['first@0', 'second@0', 'alone@0']);
    works.end.get('alone')?.();
    await turn();
    void connection.follow(works.of('last'));
    expect(works.begun.slice(3)).toEqual(['behind@0', 'last@0']);
    await works.endAll();
  });

  it('that waited behind other work lets nobody pass who came behind that', async () => {
    const { connection } = serial();
    const works = new Works();
    void connection.follow(works.of('first'));
    void connection.run(works.of('alone'));
    await turn();
    void connection.follow(works.of('behind'));
    await turn();
    expect(works.begun).toEqual(['first@0']);
    await works.endAll();
    expect(works.begun).toEqual(['first@0', 'alone@0', 'behind@0']);
  });

  it.each(['renewed', 'lost'])('goes to another session when the one under way is %s', async (how) => {
    const { connection, sessions } = serial();
    const works = new Works();
    void connection.follow(works.of('first'));
    await turn();
    if (how === 'renewed') connection.renew();
    else for (const session of sessions) session.isUsable = false;
    void connection.follow(works.of('second'));
    await turn();
    expect(works.begun).toEqual(['first@0']);
    works.end.get('first')?.();
    await turn();
    expect(works.begun).toEqual(['first@0', 'second@1']);
    await works.endAll();
  });

  it('is told its own error, and harms nobody behind it', async () => {
    const { connection } = serial();
    const works = new Works();
    const failing = connection.follow(() => Promise.reject(new Error('refused')));
    await expect(failing).rejects.toThrow('refused');
    const second = connection.follow(works.of('second'));
    await turn();
    works.end.get('second')?.();
    expect(await second).toBe('second');
    connection.close();
    await expect(connection.follow(works.of('late'))).rejects.toThrow('the database is closed');
  });
});

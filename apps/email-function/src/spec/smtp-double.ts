import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** A reply of one or more lines; `hang`: to say nothing; `drop`: to break the connection. */
export type SmtpStep = string;

export interface SmtpScript {
  readonly greeting?: SmtpStep;
  readonly ehlo?: SmtpStep;
  readonly starttls?: SmtpStep;
  readonly auth?: SmtpStep;
  readonly mail?: SmtpStep;
  readonly rcpt?: SmtpStep;
  readonly data?: SmtpStep;
  /** After the mail has come whole. */
  readonly message?: SmtpStep;
}

const USUAL: Required<SmtpScript> = {
  greeting: '220 double ESMTP',
  ehlo: '250 double',
  starttls: '502 not here',
  auth: '235 welcome',
  mail: '250 go on',
  rcpt: '250 go on',
  data: '354 go on',
  message: '250 queued',
};

/** An SMTP server without TLS that does at each step what a spec says, also what no decent server does. */
export class SmtpDouble {
  /** Every mail that came whole, whatever was answered. */
  readonly mails: string[] = [];
  readonly commands: string[] = [];
  script: SmtpScript;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, script: SmtpScript) {
    this.#server = server;
    this.script = script;
    server.on('connection', (socket) => this.#converse(socket));
  }

  static async start(script: SmtpScript = {}): Promise<SmtpDouble> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SmtpDouble(server, script);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #converse(socket: Socket): void {
    let text = '';
    let isMail = false;
    let isSilent = false;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      // What follows is TLS, in whose random bytes there may be the end of a line.
      if (isSilent) return;
      text += chunk.toString('latin1');
      for (;;) {
        const mark = isMail ? '\r\n.\r\n' : '\r\n';
        const end = text.indexOf(mark);
        if (end < 0) return;
        const part = text.slice(0, end);
        text = text.slice(end + mark.length);
        if (isMail) {
          this.mails.push(part);
          isMail = false;
          this.#take(socket, 'message');
        } else {
          this.commands.push(part);
          const step = stepOf(part);
          isMail = step === 'data' && this.#take(socket, step)?.startsWith('354') === true;
          if (step === null) socket.write('221 bye\r\n');
          else if (step !== 'data') isSilent = this.#take(socket, step)?.startsWith('220') === true && step === 'starttls';
          if (isSilent) return;
        }
      }
    });
    this.#take(socket, 'greeting');
  }

  #take(socket: Socket, name: keyof SmtpScript): string | null {
    const step = this.script[name] ?? USUAL[name];
    if (step === 'hang') return null;
    if (step === 'drop') socket.destroy();
    else socket.write(`${step}\r\n`);
    return step;
  }
}

function stepOf(command: string): keyof SmtpScript | null {
  if (/^EHLO/i.test(command)) return 'ehlo';
  if (/^STARTTLS/i.test(command)) return 'starttls';
  if (/^AUTH/i.test(command)) return 'auth';
  if (/^MAIL/i.test(command)) return 'mail';
  if (/^RCPT/i.test(command)) return 'rcpt';
  return /^DATA/i.test(command) ? 'data' : null;
}

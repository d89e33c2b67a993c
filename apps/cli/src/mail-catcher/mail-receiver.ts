import { SMTPServer, type SMTPServerDataStream } from 'smtp-server';
import { listenReason, type Logger } from '@harikube/platform';
import { SetupError } from '@harikube/local-cluster';
import type { MailStore } from './mail-store.js';

export interface MailReceiverOptions {
  readonly host: string;
  /** 0: the system picks one. */
  readonly port: number;
  readonly store: MailStore;
  readonly logger: Logger;
}

export interface MailReceiver {
  readonly port: number;
  /** Takes no more mails; those that are on their way are stored. */
  close(): Promise<void>;
}

const MAX_MAIL_BYTES = 25 * 1024 * 1024;
/** How long a client may keep its connection at the end. */
const CLOSE_MS = 1000;

/** Takes every mail from everybody, with any login or none, and says so only when it is stored. */
export async function startMailReceiver({ host, port, store, logger }: MailReceiverOptions): Promise<MailReceiver> {
  const receiver = new SMTPServer({
    name: 'localhost',
    banner: 'harikube mail catcher',
    disabledCommands: ['STARTTLS'],
    authOptional: true,
    allowInsecureAuth: true,
    disableReverseLookup: true,
    logger: false,
    size: MAX_MAIL_BYTES,
    closeTimeout: CLOSE_MS,
    onAuth: ({ username }, _session, callback) => callback(null, { user: username ?? 'anybody' }),
    onData: (stream, _session, callback) => {
      receive(stream).then(
        (id) => callback(null, `stored as ${id}`),
        (error: unknown) => callback(error instanceof RejectedMailError ? error : new RejectedMailError('it cannot be stored', 452)),
      );
    },
  });
  const receive = async (stream: SMTPServerDataStream): Promise<string> => {
    const content = await contentOf(stream);
    try {
      return (await store.add(content, new Date())).id;
    } catch (err) {
      logger.error('a mail cannot be stored', { err });
      throw err;
    }
  };
  const listening = receiver.listen({ host, port });
  await new Promise<void>((resolve, reject) => {
    receiver.once('error', (error: unknown) =>
      reject(new SetupError(`cannot catch mails on ${host}:${port}: ${listenReason(error)}; choose another address`, { cause: error })),
    );
    listening.once('listening', resolve);
  });
  // Of a client that goes while it talks.
  receiver.on('error', (err: unknown) => logger.debug('a connection failed', { err }));
  const address = listening.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => new Promise((resolve) => receiver.close(resolve)),
  };
}

/** Told to the client with this code of SMTP. */
class RejectedMailError extends Error {
  override readonly name = 'RejectedMailError';
  constructor(
    message: string,
    readonly responseCode: number,
  ) {
    super(message);
  }
}

async function contentOf(stream: SMTPServerDataStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // To its end in any case: the client listens only then.
  for await (const chunk of stream) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes <= MAX_MAIL_BYTES) chunks.push(chunk);
  }
  if (bytes > MAX_MAIL_BYTES) throw new RejectedMailError(`it is longer than ${MAX_MAIL_BYTES} bytes`, 552);
  return Buffer.concat(chunks);
}

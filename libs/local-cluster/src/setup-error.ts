/** Something on this machine stands in the way; the message is a sentence that names it and the way out. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}

/** The errno name of a failed system call, or an empty string. */
export function errorCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Turns a full disk or a missing permission below `folder` into a sentence with the way out; other errors pass through. */
export function explainFileError(error: unknown, folder: string): unknown {
  switch (errorCode(error)) {
    case 'ENOSPC':
      return new SetupError(`the disk that holds ${folder} is full: free some space or choose a folder on another disk`, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new SetupError(`${folder} cannot be written (${errorCode(error)}): choose a folder of your own`, { cause: error });
    case 'EEXIST':
    case 'ENOTDIR':
      return new SetupError(`${folder} is not a folder, or lies below something that is none: choose another folder`, { cause: error });
    default:
      return error;
  }
}

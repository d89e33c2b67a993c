import { StatusError } from '@harikube/kube';

/** What a request is refused for, as `FIELD: MESSAGE`; nothing: it is not refused. */
export async function refusalCauses(request: Promise<unknown>): Promise<string[]> {
  try {
    await request;
    return [];
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    const causes = error.status.details?.causes ?? [{ message: error.message }];
    // It says so besides when it did not come to the rules.
    return causes.filter(({ field }) => field !== '<nil>').map(({ field = '', message = '' }) => `${field}: ${message}`);
  }
}

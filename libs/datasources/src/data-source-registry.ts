import { DataSource, type DataSourceOptions } from 'typeorm';

/**
 * Opens and closes TypeORM's DataSources; the only place that makes one. The registry migrates a database before the
 * router's own statements run on it.
 */
export class DataSourceRegistry {
  readonly #sources = new Map<string, DataSource>();

  /** Connects and migrates. */
  async open(name: string, options: DataSourceOptions): Promise<DataSource> {
    const source = new DataSource(options);
    await source.initialize();
    this.#sources.set(name, source);
    await source.runMigrations({ transaction: 'each' });
    return source;
  }

  async close(name: string): Promise<void> {
    const source = this.#sources.get(name);
    this.#sources.delete(name);
    if (source?.isInitialized === true) await source.destroy();
  }

  async closeAll(): Promise<void> {
    for (const name of [...this.#sources.keys()]) await this.close(name);
  }
}

export declare const ROUTER_NODE_FLAGS: readonly string[];
export declare const ROUTER_ENV: Readonly<Record<string, string>>;

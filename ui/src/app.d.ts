/** True in builds that carry the mock bridge. */
declare const __MOCK__: boolean;

/** The store on `node:sqlite` keeps the contract; another one would be a second line here. */

import { storeContract } from "./contract.ts";
import { clear, freshStore, open, store } from "./fresh.ts";

freshStore();

storeContract({
  name: "sqlite",
  store: () => store,
  reopen: async () => {
    await store.close();
    await open();
  },
  clear,
});

export default {
  input: "openapi.json",
  // For a program of modules, as node runs it.
  output: { path: "hey", module: { extension: ".js" } },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
};

// Preloaded into Portkey's gateway, which would listen on every address of the machine: here it listens on 127.0.0.1.
const { Server } = require("node:net");

const listen = Server.prototype.listen;
Server.prototype.listen = function (where, ...rest) {
  const place = typeof where === "number" ? { port: where } : { ...where };
  if (typeof rest[0] === "string") rest.shift();
  return listen.call(this, { ...place, host: "127.0.0.1" }, ...rest);
};

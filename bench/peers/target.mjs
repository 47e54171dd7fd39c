// Delivers a request to the target of the measurement, over connections that stay open, and reads the answer.
import http from "node:http";

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

export function deliver(target, key, data) {
  const body = JSON.stringify(data);
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body), "idempotency-key": key };
    const request = http.request(target, { method: "POST", agent, headers }, (response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () => (response.statusCode < 300 ? resolve() : reject(new Error(`status ${response.statusCode}`))));
    });
    request.on("error", reject);
    request.end(body);
  });
}

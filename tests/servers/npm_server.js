// One of npm's FTP servers as a program, which logs connections and commands; knows nothing of the tests that run it.
// Its first word is the kind, then the options of the Python programs beside it. NODE_PATH leads to the packages.
'use strict'

const fs = require('fs')
const { parseArgs } = require('util')

const TEXT = ['host', 'port', 'docroot', 'user', 'password', 'max-connections', 'log', 'tls', 'certificate']
const { values: given, positionals } = parseArgs({
  options: Object.fromEntries(TEXT.map((name) => [name, { type: 'string' }])),
  allowPositionals: true
})
const port = Number(given.port)
// Ports for data of its own: these servers probe one and then listen, and of two at once one would get the other's data.
const firstDataPort = 30000 + (port % 250) * 100
const lastDataPort = firstDataPort + 99
const most = Number(given['max-connections']) // node closes those beyond without a word
const log = given.log ? fs.openSync(given.log, 'a') : undefined
const knows = (user, password) => user === given.user && password === given.password
const note = (line) => log === undefined || fs.writeSync(log, line + '\n')

// Logs what comes in before the server sees it, line by line.
function overhear (socket) {
  let unread = ''
  note('CONNECT')
  socket.prependListener('data', (block) => {
    const lines = (unread + block.toString('utf8')).split('\r\n')
    unread = lines.pop()
    lines.forEach((line) => note('COMMAND ' + line.replace(/^PASS .*/i, 'PASS ***')))
  })
}

function limit (server) {
  if (most) server.maxConnections = most
}

function ftpSrv () {
  const { FtpSrv } = require('ftp-srv')
  const pem = given.tls && fs.readFileSync(given.certificate)
  const silent = { child: () => silent }
  for (const level of ['trace', 'debug', 'info', 'warn', 'error']) silent[level] = () => {}
  const server = new FtpSrv({
    url: `${given.tls === 'implicit' ? 'ftps' : 'ftp'}://${given.host}:${port}`,
    pasv_url: given.host,
    pasv_min: firstDataPort,
    pasv_max: lastDataPort,
    log: silent,
    tls: pem && { key: pem, cert: pem }
  })
  server.on('connect', ({ connection }) => overhear(connection.commandSocket))
  server.on('login', ({ username, password }, resolve, reject) =>
    knows(username, password) ? resolve({ root: given.docroot }) : reject(new Error('Wrong password')))
  limit(server.server)
  server.listen()
}

function nodeftpd () {
  const { FtpServer } = require('ftpd')
  const server = new FtpServer(given.host, {
    getInitialCwd: () => '/',
    getRoot: () => given.docroot,
    pasvPortRangeStart: firstDataPort,
    pasvPortRangeEnd: lastDataPort
  })
  server.on('error', (error) => console.error(error))
  server.on('client:connected', (connection) => {
    let name
    overhear(connection.socket)
    connection.on('command:user', (user, accept) => { name = user; accept() })
    connection.on('command:pass', (password, accept, refuse) => knows(name, password) ? accept(name) : refuse())
  })
  limit(server.server)
  server.listen(port)
}

// The calls are those of the package's own program, which knows no password.
function simpleFtpd () {
  const fs = require('fs-extra')
  console.log = () => {}
  const options = { host: given.host, port, root: given.docroot, readOnly: false, maxConnections: most || 1000 }
  const server = require('simple-ftpd')(options, (session) => {
    session.on('pass', (user, password, done) => done(knows(user, password) ? null : new Error('Wrong password')))
    session.on('read', (path, start, done) => done(null, fs.createReadStream(path, { start })))
    session.on('write', (path, start, done) => done(null, fs.createWriteStream(path, { start })))
    for (const name of ['stat', 'readdir', 'mkdir', 'unlink', 'remove', 'rename']) session.on(name, fs[name])
  })
  server.on('connection', overhear)
}

process.umask(0o022)
const programs = { 'ftp-srv': ftpSrv, nodeftpd, 'simple-ftpd': simpleFtpd }
programs[positionals[0]]()

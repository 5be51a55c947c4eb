-- announce{kind, block, label, version, operation, chars, author, tags, added, removed, agent}: one change
-- into the stream and the same on the channel. author and tags are JSON; keep is the stream's length.
-- When the stream is found ahead of the counter (a restored or promoted store), a new epoch begins,
-- later than any the stream has seen, whatever the clock says.
-- include: clock
local TEXT_IN_CHANGE = 2048

-- The first `size` bytes at the most, never ending inside a character.
local function clip(text, size)
  if #text <= size then return text, false end
  local last = size
  while last > 0 and string.byte(text, last + 1) >= 128 and string.byte(text, last + 1) < 192 do last = last - 1 end
  return string.sub(text, 1, last), true
end

local function later_epoch(epoch)
  local stream, seen = redis.call('XINFO', 'STREAM', K.changes()), '0'
  for i = 1, #stream, 2 do
    if stream[i] == 'last-generated-id' then seen = string.match(stream[i + 1], '^%d+') end
  end
  return string.format('%d', math.max(tonumber(TIME[1]), tonumber(epoch) + 1, tonumber(seen) + 1))
end

local function announce(change, keep)
  local meta = K.meta()
  local epoch = redis.call('HGET', meta, 'epoch')
  if not epoch then
    epoch = TIME[1]
    redis.call('HSET', meta, 'epoch', epoch)
  end
  local n = redis.call('HINCRBY', meta, 'n', 1)
  local added, cut_added = clip(change.added or '', TEXT_IN_CHANGE)
  local removed, cut_removed = clip(change.removed or '', TEXT_IN_CHANGE)
  local rest = '","kind":"' .. change.kind .. '","block_id":"' .. change.block
    .. '","label":' .. cjson.encode(change.label) .. ',"version":' .. change.version
    .. ',"operation":"' .. change.operation .. '","at":' .. MICROS .. ',"chars":' .. change.chars
    .. ',"author":' .. change.author .. ',"tags":' .. change.tags
    .. ',"added":' .. cjson.encode(added) .. ',"removed":' .. cjson.encode(removed)
    .. ',"cut":' .. tostring(cut_added or cut_removed)
    .. (change.agent and (',"agent_id":"' .. change.agent .. '"') or '') .. '}'
  local prev = n > 1 and (epoch .. '-' .. string.format('%d', n - 1)) or '0-0'
  local id = epoch .. '-' .. string.format('%d', n)
  local body = '{"id":"' .. id .. '","prev":"' .. prev .. rest
  local done = redis.pcall('XADD', K.changes(), 'MAXLEN', '~', keep, id, 'change', body)
  if type(done) == 'table' and done.err then
    epoch = later_epoch(epoch)
    id = epoch .. '-1'
    redis.call('HSET', meta, 'epoch', epoch, 'n', 1)
    body = '{"id":"' .. id .. '","prev":"0-0' .. rest
    redis.call('XADD', K.changes(), 'MAXLEN', '~', keep, id, 'change', body)
  end
  redis.call('PUBLISH', K.changed(), body)
  return id
end

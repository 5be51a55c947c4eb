-- announce{kind, block, label, version, operation, chars, author, tags, added, removed, agent}: one change
-- into the stream and the same on the channel. author and tags are JSON; keep is the stream's length.
-- A new epoch begins, later than any the stream has seen, whatever the clock says, when the server is on another line
-- of writes: ids of before may have been given to changes that are gone. Its first change follows the last that is
-- there, so that only a reader who was told more must begin anew. And when the stream is found ahead of the counter.
-- include: clock
-- include: lineage
local TEXT_IN_CHANGE = 2048

-- The first `size` bytes at the most, never ending inside a character.
local function clip(text, size)
  if #text <= size then return text, false end
  local last = size
  while last > 0 and string.byte(text, last + 1) >= 128 and string.byte(text, last + 1) < 192 do last = last - 1 end
  return string.sub(text, 1, last), true
end

local function later_epoch(epoch)
  local stream, seen = redis.pcall('XINFO', 'STREAM', K.changes()), '0' -- an error, where it is gone, has no parts
  for i = 1, #stream, 2 do
    if stream[i] == 'last-generated-id' then seen = string.match(stream[i + 1], '^%d+') end
  end
  return string.format('%d', math.max(tonumber(TIME[1]), tonumber(epoch) + 1, tonumber(seen) + 1))
end

-- The epoch and the number of the next change, and the id of the one before.
local function next_change()
  local meta, line = K.meta(), lineage()
  local known = redis.call('HMGET', meta, 'epoch', 'n', 'lineage')
  local epoch, n = known[1] or TIME[1], tonumber(known[2] or '0')
  local prev = n > 0 and (epoch .. '-' .. string.format('%d', n)) or '0-0'
  if n > 0 and known[3] and known[3] ~= line then
    epoch, n = later_epoch(epoch), 0
  end
  redis.call('HSET', meta, 'epoch', epoch, 'n', string.format('%d', n + 1), 'lineage', line)
  return epoch, n + 1, prev
end

local function announce(change, keep)
  local meta = K.meta()
  local epoch, n, prev = next_change()
  local added, cut_added = clip(change.added or '', TEXT_IN_CHANGE)
  local removed, cut_removed = clip(change.removed or '', TEXT_IN_CHANGE)
  local rest = '","kind":"' .. change.kind .. '","block_id":"' .. change.block
    .. '","label":' .. cjson.encode(change.label) .. ',"version":' .. change.version
    .. ',"operation":"' .. change.operation .. '","at":' .. MICROS .. ',"chars":' .. change.chars
    .. ',"author":' .. change.author .. ',"tags":' .. change.tags
    .. ',"added":' .. cjson.encode(added) .. ',"removed":' .. cjson.encode(removed)
    .. ',"cut":' .. tostring(cut_added or cut_removed)
    .. (change.agent and (',"agent_id":"' .. change.agent .. '"') or '') .. '}'
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

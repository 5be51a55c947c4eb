-- remember(block, version, entry, value, keep): one history entry, its stream id the version; a full value
-- every 50 versions, so that a version is rebuilt from at most 49 splices.
-- keep: '<entries> <ms> <bytes>': what a block keeps at the most. Looked after every TRIM_EVERY versions, and at once
-- when the texts kept weigh too much; the newest entry always stays.
-- include: clock
local FULL_EVERY = 50
local TRIM_EVERY = 10
local TRIM_MOST = 100

local function weight(fields)
  local bytes = 0
  for i = 1, #fields, 2 do
    if fields[i] == 'removed' or fields[i] == 'added' or fields[i] == 'value' then bytes = bytes + #fields[i + 1] end
  end
  return bytes
end

-- forget(block, keep, bytes): the oldest entries that are too many, too old or too heavy go, TRIM_MOST at once.
-- Returns the bytes left and how many went.
local function forget(block, keep, bytes)
  local entries, ms, most = string.match(keep, '^(%d+) (%d+) (%d+)$')
  local history = K.block_history(block)
  local count, gone = redis.call('XLEN', history), 0
  while gone < TRIM_MOST and count > 1 do
    local oldest = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
    local at
    for i = 1, #oldest[2], 2 do if oldest[2][i] == 'at' then at = tonumber(oldest[2][i + 1]) end end
    local too_old = MILLIS - at / 1000 > tonumber(ms)
    if count <= tonumber(entries) and bytes <= tonumber(most) and not too_old then break end
    redis.call('XDEL', history, oldest[1])
    bytes, count, gone = bytes - weight(oldest[2]), count - 1, gone + 1
  end
  return bytes, gone
end

local function remember(block, version, entry, value, keep)
  local fields = {
    'operation', entry.operation, 'at', MICROS, 'author', entry.author, 'before', entry.before, 'after', entry.after,
    'position', entry.position, 'removed', entry.removed, 'added', entry.added,
  }
  if entry.fields and entry.fields ~= '' then
    table.insert(fields, 'fields')
    table.insert(fields, entry.fields)
    table.insert(fields, 'were')
    table.insert(fields, entry.were)
  end
  if version % FULL_EVERY == 1 then
    table.insert(fields, 'value')
    table.insert(fields, value)
  end
  redis.call('XADD', K.block_history(block), string.format('%d-0', version), unpack(fields))
  local bytes = redis.call('HINCRBY', K.block(block), 'history_bytes', weight(fields))
  if version % TRIM_EVERY == 0 or bytes > tonumber(string.match(keep, '%d+$')) then
    redis.call('HSET', K.block(block), 'history_bytes', string.format('%d', (forget(block, keep, bytes))))
  end
end

-- remember(block, version, entry, value, keep): one history entry, its stream id the version; a full value
-- every 50 versions, so that a version is rebuilt from at most 49 splices.
-- include: clock
local FULL_EVERY = 50

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
  redis.call('XADD', K.block_history(block), 'MAXLEN', '~', keep, string.format('%d-0', version), unpack(fields))
end

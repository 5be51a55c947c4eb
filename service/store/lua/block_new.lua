-- new_block(id, fields, author, by, keep_history, keep_changes): writes a block that does not exist yet, at version 1.
-- fields: a table of hash fields as text (value, chars, label, limit, …; tags as JSON).
-- include: clock
-- include: block_places
-- include: history
-- include: announce
local function new_block(id, fields, author, by, keep_history, keep_changes)
  local seq = redis.call('HINCRBY', K.meta(), 'seq', 1)
  local hash = {
    'id', id, 'version', '1', 'seq', string.format('%d', seq),
    'created_at', MICROS, 'updated_at', MICROS, 'created_by', by, 'updated_by', by,
  }
  for name, text in pairs(fields) do
    table.insert(hash, name)
    table.insert(hash, text)
  end
  redis.call('HSET', K.block(id), unpack(hash))
  redis.call('ZADD', K.blocks(), seq, id)
  file_block(id, {})
  remember(id, 1, {
    operation = 'create', author = author, before = '0', after = fields.chars,
    position = '0', removed = '', added = '',
  }, fields.value, keep_history)
  announce({
    kind = 'created', block = id, label = fields.label, version = 1, operation = 'create', chars = fields.chars,
    author = author, tags = fields.tags, added = fields.value,
  }, keep_changes)
end

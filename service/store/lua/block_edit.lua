-- Applies one operation to a block's value as it is now: value, version, history, change and publication, or nothing.
--
-- ARGV  1 block  2 operation  3 text  4 characters of text  5 old  6 characters of old  7 '1' for all occurrences
--       8 line  9 has a value (configure)  10 fields as JSON (configure; all texts)
--       11 expected version or ''  12 effect id or ''  13 fingerprint  14 author as JSON  15 author's name
--       16 agent or ''  17 generation or ''  18 run or ''  19 changes kept  20 history kept
-- Reply {'ok', version this edit made, changed 1/0, repeated 1/0, hash as a flat list}
--       {'missing'} {'fence'} {'reused'} {'detached', label} {'readonly', label} {'conflict', version, value}
--       {'nomatch'} {'many', line, …} {'line', lines} {'full', length, limit} {'label', label, agent}
-- include: clock
-- include: fence
-- include: effect
-- include: splice
-- include: history
-- include: announce
-- include: block_places
local id, operation, text, text_chars = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local old, old_chars, all, line = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1', tonumber(ARGV[8])
local expected, effect, fingerprint = ARGV[11], ARGV[12], ARGV[13]
local author, by, agent, run = ARGV[14], ARGV[15], ARGV[16], ARGV[18]
local block = K.block(id)

if agent ~= '' and not fenced(agent, ARGV[17]) then return {'fence'} end
local known = outcome(effect, run)
if known then
  if known.f ~= fingerprint then return {'reused'} end
  if redis.call('EXISTS', block) == 0 then return {'missing'} end
  return {'ok', known.v, known.c, 1, redis.call('HGETALL', block)}
end

local now = redis.call('HMGET', block, 'value', 'version', 'chars', 'limit', 'read_only', 'label', 'tags')
local value, version, chars, limit, label = now[1], tonumber(now[2]), tonumber(now[3]), tonumber(now[4]), now[6]
if not value then return {'missing'} end
if agent ~= '' then
  if redis.call('HGET', K.agent_blocks(agent), label) ~= id then return {'detached', label} end
  if now[5] == '1' then return {'readonly', label} end
end
if expected ~= '' and tonumber(expected) ~= version then return {'conflict', version, value} end

-- The new value and its length in characters; only the edit's own texts were counted, by the caller.
-- The length comes first: a value that would be too long is refused before it is made.
local fields = operation == 'configure' and cjson.decode(ARGV[10]) or {}
if fields.limit then limit = tonumber(fields.limit) end
local new, new_chars = value, chars
local function too_long() return new_chars > limit and new_chars > chars end
local position, removed, added

local function occurrences()
  local count, lines, from, line_at, counted_to = 0, {}, 1, 1, 1
  while true do
    local first, last = string.find(value, old, from, true)
    if not first then return count, lines end
    count = count + 1
    if count <= 20 then
      local _, breaks = string.gsub(string.sub(value, counted_to, first - 1), '\n', '')
      line_at, counted_to = line_at + breaks, first
      table.insert(lines, line_at)
    end
    from = last + 1
  end
end

local function end_of_line(wanted)
  local at, from = 0, 1
  while at < wanted do
    local stop = string.find(value, '\n', from, true)
    if not stop then return nil end
    at, from = at + 1, stop + 1
  end
  return from - 1
end

if operation == 'append' then
  new_chars = chars + text_chars
  if too_long() then return {'full', new_chars, limit} end
  new = value .. text
  position, removed, added = #value, '', text
elseif operation == 'insert' then
  local _, breaks = string.gsub(value, '\n', '')
  local lines = breaks + 1
  if line < -1 or line > lines then return {'line', lines} end
  new_chars = chars + text_chars + 1
  if too_long() then return {'full', new_chars, limit} end
  removed = ''
  if line == -1 or line == lines then
    new, position, added = value .. '\n' .. text, #value, '\n' .. text
  else
    position, added = end_of_line(line), text .. '\n'
    new = string.sub(value, 1, position) .. added .. string.sub(value, position + 1)
  end
elseif operation == 'replace' then
  local count, lines = occurrences()
  if count == 0 then return {'nomatch'} end
  if count > 1 and not all then return {'many', unpack(lines)} end
  new_chars = chars + count * (text_chars - old_chars)
  if too_long() then return {'full', new_chars, limit} end
  local pieces, from = {}, 1
  for _ = 1, count do
    local first, last = string.find(value, old, from, true)
    position = position or first - 1
    table.insert(pieces, string.sub(value, from, first - 1))
    table.insert(pieces, text)
    from = last + 1
  end
  table.insert(pieces, string.sub(value, from))
  new = table.concat(pieces)
  if count == 1 then removed, added = old, text else position = nil end
elseif operation == 'set' or ARGV[9] == '1' then
  new, new_chars = text, text_chars
end
if too_long() then return {'full', new_chars, limit} end

-- What a rename must not do: give one of the attached agents two blocks under one label.
local renamed = fields.label and fields.label ~= label
local attached = {}
if renamed then
  attached = redis.call('ZRANGE', K.block_agents(id), 0, -1)
  for _, other in ipairs(attached) do
    local taken = redis.call('HGET', K.agent_blocks(other), fields.label)
    if taken and taken ~= id then return {'label', fields.label, other} end
  end
end

local same = true
local were, hash = {}, {}
for name, text_of in pairs(fields) do
  local present = redis.call('HGET', block, name)
  if present ~= text_of then
    same = false
    were[name] = present or cjson.null
    table.insert(hash, name)
    table.insert(hash, text_of)
  end
end
if new == value and same then
  settle(effect, run, fingerprint, version, 0, id)
  return {'ok', version, 0, 0, redis.call('HGETALL', block)}
end

-- From here on nothing can be refused any more.
if new == value then
  position, removed, added = 0, '', ''
elseif not position then
  position, removed, added = splice(value, new)
end
version = version + 1
for _, pair in ipairs({
  {'value', new}, {'chars', string.format('%d', new_chars)}, {'version', string.format('%d', version)},
  {'updated_at', MICROS}, {'updated_by', by},
}) do
  table.insert(hash, pair[1])
  table.insert(hash, pair[2])
end
if renamed then
  for _, other in ipairs(attached) do
    redis.call('HDEL', K.agent_blocks(other), label)
    redis.call('HSET', K.agent_blocks(other), fields.label, id)
  end
  label = fields.label
end
local places = same and {} or block_places(id)
redis.call('HSET', block, unpack(hash))
if not same then file_block(id, places) end
remember(id, version, {
  operation = operation, author = author, before = string.format('%d', chars), after = string.format('%d', new_chars),
  position = string.format('%d', position), removed = removed, added = added,
  fields = operation == 'configure' and ARGV[10] or '', were = operation == 'configure' and cjson.encode(were) or '',
}, new, ARGV[20])
announce({
  kind = (operation == 'configure' and not same) and 'configured' or 'edited', block = id, label = label,
  version = string.format('%d', version), operation = operation, chars = string.format('%d', new_chars),
  author = author, tags = fields.tags or now[7], added = added, removed = removed,
}, ARGV[19])
settle(effect, run, fingerprint, version, 1, id)
return {'ok', version, 1, 0, redis.call('HGETALL', block)}

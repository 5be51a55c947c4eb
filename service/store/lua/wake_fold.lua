-- fold(agent): past twice WOKEN_KEPT changes in line to be told, the oldest become a range of versions for each block,
-- which is told with the text as it is. They are counted, and of more than WOKEN_KEPT blocks only counted.
local WOKEN_KEPT = 1000

-- A cause that stands in for others; written by hand, since the encoder shortens long numbers.
local function range_text(range)
  local last, text = range.last, '{'
  if last.held then text = text .. '"held":"' .. last.held .. '",' end
  if range.from then text = text .. string.format('"missed_from":%.0f,', range.from) end
  return text .. '"id":"' .. last.id .. '","prev":"0-0","kind":"' .. last.kind .. '","block_id":"' .. last.block_id
    .. '","label":' .. cjson.encode(last.label) .. string.format(',"version":%.0f', last.version)
    .. string.format(',"operation":"missed","at":%.0f,"chars":%.0f', last.at, last.chars)
    .. string.format(',"author":{"depth":%.0f},"cut":true,"by":"', range.depth) .. last.by .. '"}'
end

local function fold(agent)
  local list = K.agent_woken(agent)
  local count = redis.call('LLEN', list) - WOKEN_KEPT
  if count <= WOKEN_KEPT then return end
  local ranges, names, changes = {}, {}, 0
  for _, text in ipairs(redis.call('LPOP', list, count)) do
    local one = cjson.decode(text)
    local name, missed = one.block_id .. (one.held or ''), one.operation == 'missed'
    if not ranges[name] then
      table.insert(names, name)
      ranges[name] = {depth = 0, from = one.version}
      if missed then ranges[name].from = one.missed_from end
    end
    local range = ranges[name]
    range.last, range.depth = one, math.max(range.depth, (one.author or {}).depth or 0)
    if not missed then changes = changes + 1 end
  end
  for i = #names, math.max(1, #names - WOKEN_KEPT + 1), -1 do
    redis.call('LPUSH', list, range_text(ranges[names[i]]))
  end
  redis.call('HINCRBY', K.agent_state(agent), 'wake_over', changes)
end

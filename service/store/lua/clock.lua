-- The store's clock. A number would turn into 1.7e+15 as text, so microseconds are a string.
local TIME = redis.call('TIME')
local MICROS = TIME[1] .. string.format('%06d', tonumber(TIME[2]))
local MILLIS = tonumber(TIME[1]) * 1000 + math.floor(tonumber(TIME[2]) / 1000)
